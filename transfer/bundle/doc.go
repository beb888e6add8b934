// Package bundle carries an image to a site without any line, on a stick.
//
// Words. An inventory is a file that says what the hosts of the far site hold. A plan says which layers of an image some
// of them lack. A bundle is a file with those layers: a tar whose first entry, the header, says what is in it and what
// was left out and why, and whose last entries are a checksum of each chunk (1 MiB of the file) and the end record.
// Because the header fixes the place of every entry, damage to the file is told with the layer and the offset that it
// hit, and a file that is cut short is found out before a byte of it is used. A bundle may be split into parts, for
// file systems with a limit. docs/bundles.md describes both formats.
package bundle

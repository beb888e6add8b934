// Package delta makes and applies patches between two versions of a layer's uncompressed tar.
//
// Words. The old version is the base, the new one the target. A patch is a row of operations that give the target from
// its first byte to its last: copy takes bytes of the base as they are, diff takes bytes of the base and adds a
// difference to each, insert takes bytes that the patch brings along (literals). Copy and diff read the base at the
// target's own position plus the displacement, which move changes. Operations, differences and literals are columns
// of their own, since each packs best among its like; a segment is as much of the columns as is held in memory at once.
// A signature describes a base to someone who has not got it.
//
// Executables carry tables for debuggers that are packed with zlib: where a little changed in the program, all of their
// bytes are others. Make compares such parts unpacked, and Apply packs them again; a layout says where they are.
//
// A patch begins with a Header and the layouts of base and target, then come segments, each of them packed with zstd and
// at most maxSegment bytes unpacked, then an empty segment.
package delta

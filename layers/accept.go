package layers

// Encoding is how a host that accepts a gets a blob that is stored so: what is compressed in a way it reads stays as it
// is.
func (a Accept) Encoding(stored Compression) Compression { return encodingFor(stored, a) }

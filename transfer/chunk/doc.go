// Package chunk keeps blobs on a host's disk, cut into chunks, between the moment they arrive and the moment they are
// used, and longer: what a broken or an earlier run has brought need not be sent again.
//
// Words. A blob is a file that comes in chunks of Size bytes, the last one of what is left; it has a Name that is the
// same in every run. To announce chunks is to say their digests: only then can they be stored, for nothing is kept that
// was not verified. A chunk is held when its bytes are on the disk. A blob is finished when its size is known, complete
// when all of it is held, in use while a process has it open.
//
// On disk a blob is two files: NAME.data, sparse, each chunk in its place, and NAME.sums, a record appended for each
// chunk after its bytes were written. Nothing is synced to the disk: a sync for each chunk would cost more than sending
// the chunk again, and is not needed, for a chunk of an earlier run counts only after its bytes were hashed once more. A
// record or bytes that a power loss has torn are a chunk that is not there.
package chunk

package eventlog

import (
	"context"
	"fmt"
	"time"
)

// The oldest first, by idempotency_keys_created_at. Two that prune at once may choose the same rows: the second waits for the first
// and finds them gone. Both go by ctid, in its order, so that neither ever waits for the other in turn.
const pruneKeys = `
DELETE FROM idempotency_keys
WHERE ctid = ANY (ARRAY(
    SELECT ctid
    FROM idempotency_keys
    WHERE created_at < now() - make_interval(secs => $1)
    ORDER BY created_at
    LIMIT $2))`

// PruneKeys deletes keys that are older than an age, so many at most, and returns how many there were. Any number of processes may
// call it at once. A command that is given again after its key was deleted is a new one (I12 holds for the age).
//
// It never deletes the key of a command that is running, however old: the key is a row of the command's own transaction, so nobody
// sees it before the commit, and from the commit on the command is done. What is left to it is to read what it did, which it finds by
// its events' ids. A second command with the key that came in time has read the key, or waits for it to be committed and then reads
// it: that takes seconds, of an age that is told by the database's clock alone.
func (l *Log) PruneKeys(ctx context.Context, age time.Duration, most int) (int64, error) {
	tag, err := l.pool.Exec(ctx, pruneKeys, age.Seconds(), most)
	if err != nil {
		return 0, fmt.Errorf("prune idempotency keys: %w", translateRead(err)) // done twice is as good as once
	}
	return tag.RowsAffected(), nil
}

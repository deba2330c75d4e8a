// Package wal reads the outbox out of Postgres's write-ahead log: a replication slot, a publication and the pgoutput
// stream, decoded into transactions.
//
// It promises committed transactions only, in commit order, each with all of its outbox rows in the order in which they
// were written (I3): pgoutput decodes at COMMIT, and streaming of transactions in progress stays off. It acknowledges to
// Postgres what Confirm was given and nothing else (I5): not what it received, and not a keepalive's position.
//
// It does not promise to deliver a transaction once. After a reconnect, and after a crash of Postgres, which may forget
// acknowledgements, the same transactions come again; whoever reads must know by its own checkpoint what it has already
// seen. It does not look into payloads.
//
// One goroutine, in Stream.Run, owns the replication connection: it alone reads, and it alone writes status updates. A
// second writer would race with the first one's deadline; Confirm therefore only stores a position and wakes the owner.
package wal

package explain

// relay are the guarantees that the relay keeps.
var relay = []Guarantee{
	{
		Name:   "I3",
		Claim:  "Source transactions leave in commit order, whole unless larger than a batch or slower than its age, then split at a recorded place. What was rolled back never leaves.",
		Breaks: "an order's events out of order; half a transaction twice",
		How: `The relay reads the write-ahead log, in which transactions stand in the order of their commits, and pgoutput decodes them at COMMIT
only: streaming of transactions in progress stays off. An assembler refuses anything that is not begin, inserts, commit in
that order. A transaction that is cut leaves its commit LSN and the number of its published rows in the checkpoint.`,
		Code: []Place{
			{"relay/wal/message.go", "assembler", "whole transactions in commit order, or an error"},
			{"relay/app/pump.go", "pump.begin", "drops what the checkpoint holds"},
			{"relay/app/pump.go", "pump.insert", "skips the rows of a split transaction that are published, by their number"},
			{"relay/app/due.go", "limits", "when a batch ends"},
			{"sql/orders/0004_orders.up.sql", "CREATE PUBLICATION outbox", "inserts of the outbox and nothing else"},
		},
		Tests: []Place{
			{"relay/wal/stream_test.go", "TestTransactionsArriveInTheOrderOfTheirCommits_I3", ""},
			{"relay/wal/stream_test.go", "TestRolledBackWorkNeverArrives_I3", ""},
			{"relay/app/outage_test.go", "TestLargeTransactionIsSplitAtARecordedPlace_I3", ""},
		},
		Try:   []string{"foodctl tail --from start --count 20"},
		Words: "order ordering wal logical replication pgoutput rollback sequence",
	},
	{
		Name:   "I4",
		Claim:  "Events and the position that they came from are in one Kafka transaction.",
		Breaks: "a crash between the two loses or doubles a batch",
		How: `The checkpoint is a record in a topic of its own, TOPIC.checkpoint.SLOT, and is added to the transaction of the events that lead to
it. The commit is asked for only when the brokers have acknowledged every record, checkpoint included, because they commit
what they have. What came of a commit without an answer is never guessed: the next relay reads the checkpoint.`,
		Code: []Place{
			{"relay/publish/producer.go", "Producer.End", "adds the checkpoint to the events' transaction"},
			{"relay/publish/round.go", "sender.commit", "the commit, behind every acknowledgement"},
			{"relay/checkpoint/checkpoint.go", "Record", "what a checkpoint holds"},
		},
		Tests: []Place{
			{"relay/publish/producer_test.go", "TestEventsAndTheirCheckpointAreCommittedTogether_I4", ""},
			{"relay/publish/producer_test.go", "TestCommitWithoutAnAnswerIsDecidedByTheCheckpoint_I4", ""},
			{"relay/app/crash_test.go", "TestKilledInEachWindow_I3_I4_I5_I6", ""},
		},
		Try: []string{
			"foodctl tail --from start --markers --count 20",
			"foodctl tail --topic food-orders.checkpoint.food_orders --markers --count 4   # the same producer and epoch",
		},
		Words: "exactly once kafka transaction checkpoint marker",
	},
	{
		Name:   "I5",
		Claim:  "Postgres hears of a position only after a committed checkpoint holds it, idle times included. The checkpoint never goes back.",
		Breaks: "Postgres discards log that nobody has",
		How: `Confirm, which decides what the status updates to Postgres carry, is only ever given the end of a checkpoint that is committed: of the
one that a start has read, and then of each behind its commit. A keepalive's position may become a checkpoint of its own in quiet times, and only that is
confirmed. Before the first checkpoint is known, status updates carry zeros.`,
		Code: []Place{
			{"relay/app/pump.go", "pump.committed", "confirms, behind the commit"},
			{"relay/app/session.go", "session.pump", "confirms the checkpoint that the start has read"},
			{"relay/wal/stream.go", "Stream.Confirm", "stores what the next status update says"},
			{"relay/wal/status.go", "Stream.sendStatus", "written, flushed and applied are always the same"},
			{"relay/app/due.go", "pump.idle", "quiet times"},
		},
		Tests: []Place{
			{"relay/wal/confirm_test.go", "TestExactlyWhatWasConfirmedIsAcknowledged_I5", ""},
			{"relay/app/pump_test.go", "TestEveryCallMayFail_I3_I4_I5", ""},
			{"relay/app/outage_test.go", "TestKafkaOutageKeepsTheSlotAndLosesNothing_I5", ""},
		},
		Try: []string{
			`foodctl sql orders "SELECT slot_name, confirmed_flush_lsn, pg_current_wal_lsn() FROM pg_replication_slots"`,
			"foodctl verify   # holds the slot against the checkpoint",
		},
		Words: "acknowledge confirm slot lsn flush",
	},
	{
		Name:   "I6",
		Claim:  "At most one relay can commit.",
		Breaks: "two relays publish the same log",
		How: `A start is: hold the replication slot, then take over the transactional id, then read the checkpoint. The slot says who tries, the
fence who can: from it on no predecessor can commit, and what it had open is aborted. Read before the fence, the checkpoint
could still be moved by a predecessor, and its last transaction would be published twice.`,
		Code: []Place{
			{"relay/app/session.go", "session.run", "the order of the steps, which is the proof"},
			{"relay/publish/transaction.go", "Producer.takeOver", "the fence"},
			{"relay/checkpoint/read.go", "Read", "up to the high watermark, behind the fence"},
		},
		Tests: []Place{
			{"relay/app/order_test.go", "TestTheFenceComesBeforeTheCheckpointIsRead_I6", ""},
			{"relay/publish/producer_test.go", "TestSecondProducerFencesTheFirst_I6", ""},
			{"internal/e2e/standby_test.go", "TestAPausedRelayThatComesBackAfterItsSuccessorCannotCommit_I6", ""},
		},
		Try: []string{
			"foodctl up --relays 2   # in its place; then kill -STOP the one that publishes, and -CONT it 20 s later",
			"foodctl bench failover",
		},
		Words: "zombie fencing split brain standby leader transactional id epoch",
	},
	{
		Name:   "I7",
		Claim:  "The relay refuses a source or topic whose history is not its checkpoint's.",
		Breaks: "silent loss after a restore, a recreated slot or topic",
		How: `A checkpoint names the database system, its timeline, the publication, the Kafka cluster, the topic and the last event of each
partition. At each start eleven gates hold them against what is there. A closed gate is exit code 3 and a sentence that says
what to do; relay recover publishes from the table what is missing.`,
		Code: []Place{
			{"relay/checkpoint/gate.go", "gates", "the gates, each with its remedy"},
			{"relay/app/gates.go", "session.check", "gathers what is there"},
		},
		Tests: []Place{
			{"relay/checkpoint/gate_test.go", "TestEachChangeOfHistoryIsRefusedAtItsGate_I7", ""},
			{"relay/app/history_test.go", "TestAnotherHistoryIsRefusedAndMendedByRecover_I7", ""},
			{"relay/app/restore_test.go", "TestRestoredDatabaseIsRefusedUntilTheTopicIsMadeAnew_I7", ""},
			{"relay/app/certain_test.go", "TestWhoeverWasTakenOverFromRefusesNothing_I6_I7", ""},
		},
		Try: []string{
			"make build   # then, in the repository:",
			"export DATABASE_PASSWORD_FILE=.foodpipeline/postgres/password KAFKA_BROKERS=127.0.0.1:7490",
			"export ORDERS_DATABASE_URL='postgres://postgres@127.0.0.1:7489/orders?sslmode=disable'",
			"bin/relay doctor",
			"bin/relay recover --dry-run",
		},
		Words: "restore backup gate refuse recover timeline failover",
	},
	{
		Name:   "I11",
		Claim:  "Log held back by the relay is bounded, or readiness fails.",
		Breaks: "a full disk, and no orders",
		How: `A monitor with a connection of its own looks at the slot: how much log it holds back, and how long it lasts at the present rate. Above
--max-retained-wal, or when Postgres says that the slot is about to be lost, /readyz says so. max_slot_wal_keep_size bounds
the disk; is the slot lost, relay recover publishes from the table.`,
		Code: []Place{
			{"relay/app/monitor.go", "session.held", "the bound"},
			{"relay/app/monitor.go", "session.look", "tells metrics and readiness"},
		},
		Tests: []Place{
			{"relay/app/outage_test.go", "TestWALHeldBackAboveTheBoundFailsReadiness_I11", ""},
			{"relay/app/countdown_test.go", "TestCountdownOfARunningRelay_I11", ""},
		},
		Try: []string{
			"curl -s http://127.0.0.1:7482/readyz?verbose",
			`foodctl sql orders "SELECT slot_name, wal_status, safe_wal_size FROM pg_replication_slots"`,
		},
		Words: "disk slot wal keep size readiness alert outage",
	},
}

package explain

// orders are the guarantees that orderservice keeps.
var orders = []Guarantee{
	{
		Name:   "I1",
		Claim:  "An order's state and its outbox rows commit together or not at all.",
		Breaks: "an order that nobody hears of, or an event of an order that is not there",
		How: `The idempotency key, the order's row and its events are sent as one batch behind a single Sync, which Postgres runs as one
transaction. There is no BEGIN and no COMMIT to send, so there is no moment in which a client that dies leaves a transaction
open. Each statement fails by itself when it has to, and then none has any effect.`,
		Code: []Place{
			{"orderservice/eventlog/append.go", "Log.Append", "the one transaction"},
			{"internal/outbox/outbox.go", "Queue", "the statement that inserts the events"},
			{"sql/orders/0004_orders.up.sql", "CREATE TABLE outbox", "the event log: insert-only"},
		},
		Tests: []Place{
			{"orderservice/eventlog/eventlog_test.go", "TestAppendThatFailsAnywhereLeavesNothing_I1", ""},
			{"orderservice/eventlog/outcome_test.go", "TestTerminatedBackendLeavesNothingAndTheCommandIsDoneOnce_I1", ""},
			{"foodctl/audit/control_test.go", "TestFindsEachFaultInTheOrdersTable_I1", ""},
		},
		Try: []string{
			`foodctl sql orders "SELECT o.id, o.version, count(*) AS events FROM orders o JOIN outbox e ON e.aggregateid = o.id GROUP BY o.id HAVING count(*) <> o.version"`,
			"foodctl demo kill --all --times 5",
		},
		Words: "outbox dual write atomic transaction",
	},
	{
		Name:   "I2",
		Claim:  "Versions of one order are 1..n without a hole; a concurrent writer gets a conflict.",
		Breaks: "lost update",
		How: `An append names the version that it was decided at, and the update of the order's row has it in its WHERE. Two writers who saw
the same version meet at that row: the second waits, finds another version, and its whole transaction fails. A unique
constraint on order and version is the second defence.`,
		Code: []Place{
			{"orderservice/eventlog/append.go", "updateState", "the compare-and-set, which fails by dividing by the number of rows"},
			{"orderservice/eventlog/append.go", "checkVersions", "the events follow the version that was expected"},
			{"orderservice/eventlog/load.go", "fold", "a history with a hole is no order"},
			{"sql/orders/0004_orders.up.sql", "outbox_version_unique", "one event for each version"},
		},
		Tests: []Place{
			{"orderservice/eventlog/eventlog_test.go", "TestConcurrentAppendsToOneVersionHaveOneWinner_I2", ""},
			{"orderservice/eventlog/eventlog_test.go", "TestConcurrentCommandsLoseNoUpdate_I2", ""},
			{"sql/constraints_test.go", "TestOutboxTakesOneEventPerVersion_I2", ""},
		},
		Try: []string{
			`foodctl sql orders "SELECT aggregateid, version, type FROM outbox ORDER BY seq DESC LIMIT 5"`,
		},
		Words: "optimistic lock concurrency conflict version",
	},
	{
		Name:   "I12",
		Claim:  "Every 2xx exists in the log; a retry with the same key has one effect.",
		Breaks: "two dinners",
		How: `The idempotency key is a row of the order's own transaction. A retry finds it and gets the answer out of the log, up to the version
that the key names; of two at once, one waits at the key. An answer whose commit was cut off is looked up by the events' ids
before anything is tried again.`,
		Code: []Place{
			{"orderservice/eventlog/execute.go", "Log.Execute", "attempts, each decided anew, none that could still commit forgotten"},
			{"orderservice/eventlog/append.go", "insertKey", "the key goes first, in the same transaction"},
			{"orderservice/eventlog/replay.go", "execution.replay", "the stored answer"},
		},
		Tests: []Place{
			{"orderservice/app/crash_test.go", "TestKilledBetweenCommitAndAnswerTheRetryGetsTheSameOrder_I12", ""},
			{"orderservice/eventlog/key_test.go", "TestCommandsAtOnceWithOneKeyHaveOneEffect_I12", ""},
			{"internal/e2e/client_test.go", "TestEvery2xxIsInTheLogOnceOverKillsOfTheAPI_I12", ""},
		},
		Try: []string{
			`curl -si http://127.0.0.1:7481/v1/orders -H 'Content-Type: application/json' -H 'Idempotency-Key: "twice"' -d '{"customer_id": 7, "service": "pickup", "lines": [{"item_id": 3, "quantity": 2}]}'   # twice`,
			`foodctl sql orders "SELECT key, order_id, version FROM idempotency_keys ORDER BY created_at DESC LIMIT 5"`,
		},
		Words: "idempotency retry http api duplicate request",
	},
}

package explain

// readModel are the guarantees that the projector keeps.
var readModel = []Guarantee{
	{
		Name:   "I8",
		Claim:  "Read models and their offset are in one database transaction; the compare-and-set on the offset is the proof.",
		Breaks: "a batch applied twice at a takeover",
		How: `A batch's transaction begins with an update of the partition's row in projection_offsets that names the offset it goes on from, and the
claim it was made under. If it changes no row, another one has the partition or the batch is applied already, and nothing of
it is written. Kafka's own group offsets are never read.`,
		Code: []Place{
			{"projector/view/apply.go", "fence", "the compare-and-set"},
			{"projector/view/apply.go", "Partition.Apply", "fence, rows and commit"},
			{"projector/view/claim.go", "View.Claim", "from its commit on, no batch of a former owner can be applied"},
		},
		Tests: []Place{
			{"projector/view/apply_test.go", "TestEachPartOfTheFenceFencesByItself_I8", ""},
			{"projector/app/process_test.go", "TestAPausedProjectorThatComesBackDisturbsNothing_I8", ""},
			{"internal/e2e/takeover_test.go", "TestAProjectorThatWasStoppedPastItsSessionAppliesNothing_I8", ""},
		},
		Try: []string{
			`foodctl sql readmodel "SELECT part, next_offset, owner, owner_epoch, applied_events, duplicate_events FROM projection_offsets ORDER BY part"`,
			"foodctl demo kill --times 5",
		},
		Words: "exactly once idempotent consumer offset fence rebalance takeover projector",
	},
	{
		Name:   "I9",
		Claim:  "Per order the projector applies version n+1 after n; lower is counted, higher is parked: the order waits, others go on.",
		Breaks: "a silent hole, with a lag of zero",
		How: `An event is applied if and only if its version is the order's version + 1. A lower one is a duplicate, and is counted. A higher one, or
one that cannot be decoded or breaks a rule, becomes a dead letter, and the order's later events queue behind it; an alert,
the audit and every sum say so. projector letters redrive applies them once the cause is gone.`,
		Code: []Place{
			{"projector/view/model.go", "fold.judge", "the one comparison"},
			{"projector/view/letters.go", "Partition.placeLetters", "dead letters, in the transaction of the offset"},
			{"projector/view/redrive.go", "View.Redrive", "how they are applied at last"},
		},
		Tests: []Place{
			{"projector/view/letters_test.go", "TestAHoleParksItsOrderAlone_I9", ""},
			{"projector/view/apply_test.go", "TestALowerVersionIsIgnoredAndCounted_I9", ""},
			{"projector/consumer/stop_test.go", "TestAHoleParksItsOrderAloneAndLoudly_I9", ""},
		},
		Try: []string{
			"DATABASE_PASSWORD_FILE=.foodpipeline/postgres/password READMODEL_DATABASE_URL='postgres://postgres@127.0.0.1:7489/readmodel?sslmode=disable' bin/projector letters list   # make build makes it",
			`foodctl sql readmodel "SELECT topic, part, record_offset, order_id, version, reason, state FROM dead_letters ORDER BY parked_at DESC LIMIT 5"`,
		},
		Words: "dead letter poison gap hole contiguous blocked parked",
	},
	{
		Name:   "I10",
		Claim:  "The read model equals the fold of the events.",
		Breaks: "a view that drifts",
		How: `The tables depend on the events alone, never on how they came in batches or on a clock. So they can be made anew beside the live ones
at any time, and compared row by row; and the audit folds the outbox by code of its own and compares every row.`,
		Code: []Place{
			{"projector/view/model.go", "fold.all", "the fold of a batch"},
			{"foodctl/audit/fold.go", "fold.walk", "the audit's own, which shares nothing with it"},
			{"projector/rebuild/compare.go", "Rebuild.compare", "live and new tables, row by row"},
		},
		Tests: []Place{
			{"projector/view/models_test.go", "TestReadModels_I8_I9_I10", ""},
			{"foodctl/audit/control_test.go", "TestFindsEachFaultInTheReadModel_I10", ""},
			{"projector/app/rebuild_test.go", "TestRebuildUnderTrafficWithKills_I8_I10", ""},
		},
		Try:   []string{"foodctl verify", "projector rebuild --help"},
		Words: "projection fold replay rebuild deterministic audit",
	},
}

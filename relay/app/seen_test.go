package app

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// exported is the value of a metric without labels, and whether the relay exports it now.
func exported(t *testing.T, r *relay, name string) (value float64, there bool) {
	t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			m := family.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue(), true
		}
	}
	return 0, false
}

func TestPendingEventsAreCountedWhileKafkaIsAway(t *testing.T) {
	t.Parallel()
	broker := newSwitchable(t)
	s := setupOn(t, testenv.Orders(t), broker.address)
	r, _ := s.start()
	pending := func(events float64, aged bool) func() bool {
		return func() bool {
			n, counted := exported(t, r, "relay_pending_events")
			age, _ := exported(t, r, "relay_oldest_pending_seconds")
			return counted && n == events && (age > 0) == aged
		}
	}
	s.write(10, 1)
	s.published()
	s.wait("nothing to be pending", pending(0, false))
	broker.cut()
	s.write(5, 7)
	s.wait("35 events to be pending", pending(35, true))
	broker.restore()
	s.published()
	s.wait("nothing to be pending again", pending(0, false))
}

// A standby sees the slot, and does not know how far the topic has come.
func TestStandbyExportsTheSlotAndNothingPending(t *testing.T) {
	t.Parallel()
	s := setup(t)
	first, _ := s.start()
	s.write(5, 1)
	s.published()
	second, _ := s.start()
	for _, name := range []string{"relay_slot_lag_bytes", "relay_slot_retained_wal_bytes", "relay_database_wal_bytes_total"} {
		s.wait("the standby to export "+name, func() bool {
			_, there := exported(t, second, name)
			return role(second) == roleStandby && there
		})
	}
	s.wait("the active relay to export what is pending", func() bool { _, there := exported(t, first, "relay_pending_events"); return there })
	if _, there := exported(t, second, "relay_pending_events"); there {
		t.Error("the standby exports what is pending")
	}
}

func TestWhatWasNotSeenIsNotExported(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	register(reg)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		switch name := family.GetName(); name {
		case "relay_slot_lag_bytes", "relay_slot_retained_wal_bytes", "relay_slot_safe_wal_bytes", "relay_pending_events":
			t.Errorf("%s is exported before anything was seen", name)
		}
	}
}

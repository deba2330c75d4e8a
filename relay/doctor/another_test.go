package doctor

import (
	"strings"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/relay/layout"
)

// connector describes the outbox of Debezium's documentation.
const connector = `{
	"topic.prefix": "shop", "slot.name": "shop_slot", "publication.name": "shop_publication", "table.include.list": "public.outbox",
	"key.converter": "org.apache.kafka.connect.storage.StringConverter", "value.converter": "org.apache.kafka.connect.storage.StringConverter",
	"transforms": "outbox", "transforms.outbox.type": "io.debezium.transforms.outbox.EventRouter",
	"transforms.outbox.route.topic.replacement": "shop.${routedByValue}",
	"relay.prune.after": "24h", "relay.prune.by": "at"
}`

// setupAnother is a database with that table and all that a relay needs.
func setupAnother(t *testing.T) *patient {
	t.Helper()
	testenv.Orders(t) // with which the group comes that setupOn puts the role into
	p := setupOn(t, testenv.Empty(t), testenv.Broker(t))
	t.Cleanup(func() { p.sql("DROP OWNED BY " + p.role) })
	l, err := layout.Connector([]byte(connector))
	if err != nil {
		t.Fatal(err)
	}
	p.config.Layout, p.config.Name = l, testenv.Name(t)
	p.sql("CREATE TABLE outbox (id uuid NOT NULL, aggregatetype text NOT NULL, aggregateid text NOT NULL, type text, payload jsonb, at timestamptz)",
		"CREATE PUBLICATION shop_publication FOR TABLE outbox WITH (publish = 'insert')",
		"GRANT SELECT, DELETE ON outbox TO "+p.role)
	return p
}

func TestWhatIsWrongWithAnotherOutboxIsFoundAndItsRemedyMendsIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		harm, check string
		verdict     Verdict
		found       string
	}{
		{"ALTER TABLE outbox RENAME payload TO body", "outbox columns", Wrong, `without the column "payload"`},
		{"ALTER TABLE outbox ALTER payload TYPE numeric USING 0", "outbox columns", Wrong, "numeric"},
		{"ALTER TABLE outbox ALTER aggregateid DROP NOT NULL", "outbox columns", Warning, "may be NULL: aggregateid"},
		{"ALTER TABLE outbox RENAME TO events", "outbox columns", Wrong, "there is no table public.outbox"},
		{"REVOKE SELECT ON outbox FROM ROLE", "SELECT on outbox", Wrong, "may not read"},
		{"REVOKE DELETE ON outbox FROM ROLE", "SELECT on outbox", Warning, "may not delete"},
		{"DROP PUBLICATION shop_publication", "publication", Wrong, "there is no publication shop_publication"},
		{"ALTER PUBLICATION shop_publication SET (publish = 'insert, delete')", "publication", Wrong, "insert, delete"},
		{"CREATE TABLE more (); ALTER PUBLICATION shop_publication ADD TABLE more", "publication", Wrong, "[public.more public.outbox]"},
		{"ALTER PUBLICATION shop_publication SET TABLE outbox (id, aggregateid)", "publication", Wrong, "leaves the column"},
	} {
		p := setupAnother(t)
		if f := p.found(Postgres, c.check); f.Verdict != OK {
			t.Errorf("%s, before: %+v", c.check, f)
		}
		p.sql(strings.ReplaceAll(c.harm, "ROLE", p.role))
		f := p.found(Postgres, c.check)
		if f.Verdict != c.verdict || !strings.Contains(f.Found, c.found) || len(f.Remedy) == 0 {
			t.Errorf("%s: got %+v, want %s with %q", c.harm, f, c.verdict, c.found)
		}
		mended := false
		for _, step := range f.Remedy {
			if strings.HasSuffix(step, ";") {
				p.sql(step)
				mended = true
			}
		}
		if again := p.found(Postgres, c.check); mended && again.Verdict != OK {
			t.Errorf("%s: after %q: %+v", c.harm, f.Remedy, again)
		}
	}
}

// Of an outbox whose rows are routed no topic need be known yet; the checks of the cluster are made all the same.
func TestExaminesAnOutboxWhoseTopicsAreNotKnown(t *testing.T) {
	t.Parallel()
	p := setupAnother(t)
	p.config.Topics = nil
	asked := 0
	for _, f := range Examine(t.Context(), p.config).Findings {
		if f.System == Kafka {
			asked++
		}
		if f.Verdict == Unknown || f.Verdict == Wrong {
			t.Errorf("%+v", f)
		}
	}
	if want := len(kafkaChecks) - len(ofTopic); asked != want {
		t.Errorf("%d answers of Kafka, want %d", asked, want)
	}
}

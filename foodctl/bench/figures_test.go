package bench

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestQuantilesAreNearestRanks(t *testing.T) {
	t.Parallel()
	values := make([]time.Duration, 1000)
	for i := range values {
		values[i] = time.Duration(i+1) * time.Second
	}
	rand.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
	want := Quantiles{Min: 1, P50: 500, P90: new(900.0), P99: new(990.0), P999: new(999.0), Max: 1000}
	if diff := cmp.Diff(want, quantiles(values)); diff != "" {
		t.Errorf("of 1 to 1000 (-want +got):\n%s", diff)
	}
}

func TestAQuantileThatIsTheLargestIsNone(t *testing.T) {
	t.Parallel()
	values := make([]time.Duration, 100)
	for i := range values {
		values[i] = time.Duration(i+1) * time.Second
	}
	want := Quantiles{Min: 1, P50: 50, P90: new(90.0), P99: new(99.0), Max: 100}
	if diff := cmp.Diff(want, quantiles(values)); diff != "" {
		t.Errorf("of 1 to 100 (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Quantiles{Min: 1, P50: 1, Max: 1}, quantiles(values[:1])); diff != "" {
		t.Errorf("of 1 (-want +got):\n%s", diff)
	}
	if q := quantiles(nil); q != (Quantiles{}) {
		t.Errorf("of nothing: %+v", q)
	}
}

func TestRatiosAreTheRelayByTheBestOfEachLimit(t *testing.T) {
	t.Parallel()
	rate := func(rates ...float64) (list []Measurement) {
		for _, r := range rates {
			list = append(list, Measurement{EventsPerSecond: r})
		}
		return list
	}
	f := Filling{
		Readers: rate(100, 160, 120), Producers: rate(200, 400), Both: rate(128)[0], Relay: rate(80)[0],
	}
	want := Ratios{EagerReader: 0.8, BestReader: 0.5, BestProducer: 0.2, Both: 0.625}
	if got := f.ratios(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestReplayRatiosAreTheProjectorByEachLimit(t *testing.T) {
	t.Parallel()
	limit := func(rate float64) Limit { return Limit{Pass: Pass{EventsPerSecond: rate}} }
	r := ReplayReport{Copy: limit(400), Unnest: limit(100), Both: limit(80), Whole: limit(160)}
	want := ReplayRatios{Copy: 0.2, Unnest: 0.8, Both: 1, Whole: 0.5}
	if got := r.ratios(Replay{Pass: Pass{EventsPerSecond: 80}}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestLatencyLeavesTheWarmUpOut(t *testing.T) {
	t.Parallel()
	f := &traffic{rate: 100} // one each 10 ms
	marks := []mark{
		{committed: ms(500), delivered: ms(900)}, // warm-up
		{committed: ms(12), delivered: ms(17)},
		{committed: ms(22), delivered: ms(21)}, // the consumer had it before the writer had its answer
		{committed: ms(33)},                    // never arrived: the check's matter
		{committed: ms(42), delivered: ms(50)},
	}
	got := f.latency(marks, 1)
	want := RateLatency{
		Rate: 100, Events: 3, Achieved: 2 / 0.030,
		Commit:  Quantiles{Min: 0.002, P50: 0.002, Max: 0.002},
		Visible: Quantiles{Min: 0, P50: 0.005, Max: 0.008},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheFirstEventAfterAFaultWasWrittenAfterIt(t *testing.T) {
	t.Parallel()
	f := &traffic{marks: []mark{
		{sent: 5, committed: 12, delivered: 14}, // the relay that was struck may have published it
		{sent: 11, committed: 13},
		{sent: 12, committed: 15, delivered: 40},
		{sent: 13, committed: 16, delivered: 30},
	}}
	if at, found := f.first(10); !found || at != 30 {
		t.Errorf("%d, %v: want 30", at, found)
	}
	if at, found := f.first(13); found {
		t.Errorf("nothing was written after it, and %d was found", at)
	}
}

func TestTakeoversAboveTheLimitAreCounted(t *testing.T) {
	t.Parallel()
	s := func(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
	got := evaluate(Kill, []time.Duration{s(0.5), s(1.5), s(1)}, []time.Duration{s(0.25), s(0.75), s(0.5)})
	want := Takeover{
		Fault: Kill, Rounds: 3, Limit: 1, Above: 1, All: []float64{0.5, 1.5, 1},
		Delivered: Quantiles{Min: 0.5, P50: 1, Max: 1.5}, Active: Quantiles{Min: 0.25, P50: 0.5, Max: 0.75},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAHistogramHoldsAllTimesInFewBars(t *testing.T) {
	t.Parallel()
	got := histogram([]float64{5.3, 5.35, 5.9, 7.2})
	want := []string{
		"    5.25 -   5.50 s    2 ##",
		"    5.50 -   5.75 s    0",
		"    5.75 -   6.00 s    1 #",
		"    6.00 -   6.25 s    0",
		"    6.25 -   6.50 s    0",
		"    6.50 -   6.75 s    0",
		"    6.75 -   7.00 s    0",
		"    7.00 -   7.25 s    1 #",
	}
	for i := range got {
		got[i] = strings.TrimRight(got[i], " ")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if bars := histogram([]float64{0.2, 500}); len(bars) > mostBars {
		t.Errorf("%d bars, want %d at most", len(bars), mostBars)
	}
}

func TestTablesFitAndVoidFiguresAreMarked(t *testing.T) {
	t.Parallel()
	big := Measurement{
		Name: "reader, naps 0.25 ms", EventsPerSecond: 1_234_567, PayloadMBPerSec: 1234.5,
		CPU:     Cost{new(12.34), new(12.34), new(12.34)},
		PeakRSS: new(int64(2_345_000_000)), Reads: new(int64(1_000_000)), KafkaTransactions: new(int64(1_000_000)),
	}
	bad := Check{Events: 1_000_000, Missing: 100_000, Duplicates: 100_000, OutOfOrder: 100_000, Altered: 100_000}
	wrong := Verdict{
		Verdict: "undecided", Events: 1_000_000, Applied: 999_999, Missing: 100_000, Duplicates: 100_000, Extra: 100_000,
		OutOfOrder: 100_000, Altered: 100_000, Rows: 1_200_000, WrongRows: 100_000,
	}
	pass := Pass{
		EventsPerSecond: 1_234_567, CPU: PassCost{new(12.34), new(12.34), new(12.34)}, PeakRSS: new(int64(2_345_000_000)),
		Transactions: 1_000_000,
	}
	tail := Quantiles{Min: 12.345, P50: 12.345, P90: new(12.345), P99: new(12.345), P999: new(12.345), Max: 12.345}
	var b strings.Builder
	for _, err := range []error{
		BacklogReport{WarmUp: Filling{Check: bad, Void: true}, Fillings: []Filling{{
			Rows: 10_000_000, RowsPerTransaction: 1000, WALBytes: 14e9,
			Readers: []Measurement{big}, Producers: []Measurement{big}, Both: big, Relay: big, Check: bad,
		}}}.Write(&b),
		LatencyReport{Rates: []RateLatency{{
			Rate: 50000, Achieved: 49999.9, Events: 1_500_000, Commit: tail, Visible: tail, RelayCPU: new(1.5), Check: bad,
		}}}.Write(&b),
		FailoverReport{Faults: []Takeover{{
			Fault: Pause, Rounds: 20, Limit: 8, Above: 20, Delivered: tail, Active: tail, All: []float64{12.3}, Check: bad,
		}}}.Write(&b),
		ProjectorReport{
			Replay: &ReplayReport{
				Events: 10_000_000, Open: 1_000_000, Copy: Limit{Pass: pass},
				Whole:  Limit{Pass: Pass{Name: "fence, read, unnest"}, Different: []string{"item_popularity_shard"}},
				WarmUp: Replay{Check: wrong, Void: true}, Replays: []Replay{{Pass: pass, Members: 64, Check: wrong}},
			},
			Latency: &DelayReport{
				Rates: []RateDelay{{Rate: 50000, Achieved: 49999.9, Events: 1_500_000, Commit: tail, Visible: tail, CPU: new(1.5)}},
				Check: wrong,
			},
			Takeover: &HandoverReport{
				Session: 1800, Check: wrong,
				Faults: []Handover{{Fault: Pause, Rounds: 20, Limit: 2251, Above: 20, Applied: tail, Claimed: tail, All: []float64{12.3}}},
			},
		}.Write(&b),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Count(b.String(), "THE FIGURES ARE VOID"); got != 9 {
		t.Errorf("%d checks are marked void, want 9:\n%s", got, b.String())
	}
	const width = 110
	for line := range strings.Lines(b.String()) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > width {
			t.Errorf("%d columns, want %d at most: %s", n, width, line)
		}
	}
}

func TestGroupedAndMissingFigures(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567"} {
		if got := grouped(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
	if figure(nil) != "-" || count(nil, 1) != "-" {
		t.Error("what could not be measured is not shown as -")
	}
}

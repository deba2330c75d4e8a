package load

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// One worker, a hundred requests a second, and one of a thousand takes a second: those behind it wait, and are answered
// at once when it is their turn.
func TestAStallIsInTheLatencyOfAllThatItKeptWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := constant(100, 10*time.Second)
		c.MaxInFlight = 1
		r := run(t, c, newFake(func(nth int, _ time.Duration) time.Duration {
			if nth == 300 {
				return time.Second
			}
			return 2 * time.Millisecond
		}))
		place := r.Kinds[0]
		if place.Count != 1000 || place.Latency.P99 < 0.8 || place.Latency.P90 < 0.1 {
			t.Errorf("latency of %d requests %+v, want the second in p99, and a tenth of all above 0.1", place.Count, place.Latency)
		}
		if place.Service.P99 > 0.0021 || place.Service.Max < 0.99 {
			t.Errorf("service time %+v, want the second in max alone", place.Service)
		}
		if r.HeldBack < 100 || r.HeldBack > 200 {
			t.Errorf("%d were held back, want those of the second and of the time to catch up", r.HeldBack)
		}
	})
}

func TestArrivalsFollowTheProfileWhateverTheAnswersTake(t *testing.T) {
	t.Parallel()
	constant := func(n int64) []int64 { return slices.Repeat([]int64{n}, 10) }
	for _, tt := range []struct {
		profile Profile
		want    []int64 // a second
	}{
		{Profile{Shape: Constant, Rate: 50}, constant(50)},
		{Profile{Shape: Constant, Rate: 0.5}, []int64{1, 0, 1, 0, 1, 0, 1, 0, 1, 0}},
		{Profile{Shape: Soak, Rate: 7}, constant(7)},
		{Profile{Shape: Ramp, Rate: 0.001, Peak: 100}, []int64{5, 15, 25, 35, 45, 55, 65, 75, 85, 95}},
		{Profile{Shape: Ramp, Rate: 100, Peak: 20}, []int64{96, 88, 80, 72, 64, 56, 48, 40, 32, 24}},
		{Profile{Shape: Spike, Rate: 10, Peak: 200}, []int64{10, 10, 10, 10, 200, 200, 10, 10, 10, 10}},
	} {
		tt.profile.Duration = 10 * time.Second
		for name, takes := range map[string]time.Duration{"fast": time.Millisecond, "slow": 2500 * time.Millisecond} {
			t.Run(fmt.Sprint(tt.profile, " ", name), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					target := newFake(func(int, time.Duration) time.Duration { return takes })
					r := run(t, Config{Profile: tt.profile, Mix: Mix{Customers: 1}, MaxInFlight: 10_000, Progress: func(string) {}}, target)
					got := make([]int64, len(tt.want))
					for _, at := range target.asked {
						got[int(at.Seconds())]++
					}
					for i := range got {
						// What is due on the border of two seconds may be in either.
						if d := got[i] - tt.want[i]; d < -1 || d > 1 {
							t.Errorf("in second %d %d arrived, want %d", i, got[i], tt.want[i])
						}
						if r.Intervals[i].Asked != got[i] {
							t.Errorf("in second %d the report has %d, want %d", i, r.Intervals[i].Asked, got[i])
						}
					}
					if r.HeldBack != 0 || r.Violated() {
						t.Errorf("%d held back, findings %q", r.HeldBack, r.Findings)
					}
				})
			})
		}
	}
}

func TestEachOfManyAtOnceIsWhatItsNumberSays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, target := constant(500, time.Second), newFake(func(int, time.Duration) time.Duration { return time.Minute / 6 })
		c.MaxInFlight = 1000
		var want, got []string
		target.spoil = func(r Request, a Answer) Answer {
			target.mu.Lock()
			defer target.mu.Unlock()
			got = append(got, fmt.Sprint(r.Do))
			return a
		}
		run(t, c, target)
		d := mixed(t, c.Mix)
		for n := range uint64(500) {
			want = append(want, fmt.Sprint(d.place(d.draw(n+1).r)))
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%d requests, which are not the %d of the seed", len(got), len(want))
		}
	})
}

func TestTheEndByHandIsAReportOfWhatWas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(2500*time.Millisecond, cancel)
		target := newFake(func(int, time.Duration) time.Duration { return 400 * time.Millisecond })
		r, err := Run(ctx, constant(10, time.Hour), target)
		if err != nil {
			t.Fatal(err)
		}
		// The last was sent at 2.4 or 2.5 seconds, and is waited for.
		if !r.Stopped || r.Asked < 25 || r.Asked > 26 || r.Done != r.Asked || r.Took < 2.7 || r.Took > 2.9 {
			t.Errorf("stopped %v, %d asked, %d done in %v s", r.Stopped, r.Asked, r.Done, r.Took)
		}
		if int(r.Asked) != len(target.asked) {
			t.Errorf("%d asked, and the target saw %d", r.Asked, len(target.asked))
		}
		var text strings.Builder
		if err := r.Write(&text); err != nil || !strings.Contains(text.String(), "stopped before its end (1h0m0s)") {
			t.Errorf("%v: %s", err, text.String())
		}
	})
}

func TestASoakTellsEachIntervalAndItsDrift(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		c := constant(10, 4*time.Minute)
		c.Shape, c.Progress = Soak, func(line string) { lines = append(lines, line) }
		r := run(t, c, newFake(func(_ int, since time.Duration) time.Duration { return 10*time.Millisecond + since/2000 }))
		if r.IntervalSeconds != 4 || len(lines) < 58 || len(lines) > 60 {
			t.Errorf("%d lines, an interval is %v s: want one for each of 60 of 4 s but perhaps the last", len(lines), r.IntervalSeconds)
		}
		if !strings.HasPrefix(lines[0], "4s: asked 10.0/s, done 10.0/s, p50 ") {
			t.Errorf("the first line is %q", lines[0])
		}
		d := r.Drift
		if d == nil || d.First < 0.035 || d.First > 0.045 || d.Last < 0.12 || d.Last > 0.14 || d.Ratio < 2.5 || d.Ratio > 4 {
			t.Errorf("drift %+v, want from 0.04 to 0.13 s", d)
		}
	})
}

func TestWhatMustNotBeAnsweredIsAViolation(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		mix   Mix
		spoil func(Request, Answer) Answer
		want  string
	}{
		"order placed twice": {Mix{Duplicate: 1}, func(_ Request, a Answer) Answer {
			a.Replayed = false
			return a
		}, "2 answers say that they did it"},
		"answers that differ": {Mix{Duplicate: 1}, func(_ Request, a Answer) Answer {
			a.Content = fmt.Sprint(a.Content, a.Replayed)
			return a
		}, "the answers differ"},
		"flaw that is taken": {Mix{Invalid: 0.5}, func(r Request, a Answer) Answer {
			if r.Flaw != Sound {
				a.Outcome, a.Detail = Wrong, "taken"
			}
			return a
		}, "taken"},
		"read of the past": {Mix{Read: 0.5}, func(r Request, a Answer) Answer {
			if r.Kind == Read {
				a.State.Version--
			}
			return a
		}, "an earlier answer had 1"},
		"another order": {Mix{Read: 0.5}, func(r Request, a Answer) Answer {
			if r.Kind == Read {
				a.Order[0]++
			}
			return a
		}, "it is about order"},
		"act without effect": {Mix{Act: 0.5}, func(r Request, a Answer) Answer {
			if r.Kind == Act {
				a.State.Version = r.Known.Version
			}
			return a
		}, "as before"},
		"nothing placed": {Mix{}, func(_ Request, a Answer) Answer {
			a.State.Version = 0
			return a
		}, "placed just now"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				target := newFake(atOnce)
				c := constant(10, 5*time.Second)
				c.Mix = tt.mix
				c.Customers = 100
				if r := run(t, c, target); r.Violated() {
					t.Fatalf("already without a fault: %q", r.Findings)
				}
				target = newFake(atOnce)
				target.spoil = tt.spoil
				r := run(t, c, target)
				if !r.Violated() || r.Violations == 0 || !strings.Contains(strings.Join(r.Findings, "\n"), tt.want) {
					t.Errorf("%d violations, %q: want %q", r.Violations, r.Findings, tt.want)
				}
			})
		})
	}
}

// Being turned away and left without an answer are outcomes; that nothing at all is done is none that anybody wants.
func TestAnOutageIsNoViolationUnlessNothingIsDone(t *testing.T) {
	t.Parallel()
	for _, outcome := range []Outcome{Busy, NoAnswer} {
		for _, everything := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				target := newFake(atOnce)
				target.spoil = func(_ Request, a Answer) Answer {
					if everything || time.Since(target.began) > 2*time.Second {
						return Answer{Outcome: outcome, Status: "away", Detail: "away"}
					}
					return a
				}
				r := run(t, constant(10, 5*time.Second), target)
				if r.Violated() != everything || r.Violations != 0 || r.Unserved() < 29 || r.Done+r.Unserved() != r.Asked {
					t.Errorf("%s: violated %v, %d of %d unserved, %d done", outcome, r.Violated(), r.Unserved(), r.Asked, r.Done)
				}
			})
		}
	}
}

func TestNonsenseIsRefusedBeforeAnythingIsAsked(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(c *Config){
		"--rate 0":          func(c *Config) { c.Rate = 0 },
		"--peak -1":         func(c *Config) { c.Shape, c.Peak = Ramp, -1 },
		"--duration 0s":     func(c *Config) { c.Duration = 0 },
		"--max-in-flight 0": func(c *Config) { c.MaxInFlight = 0 },
		"--invalid 1.5":     func(c *Config) { c.Invalid = 1.5 },
		"--duplicate -1":    func(c *Config) { c.Duplicate = -1 },
		"together at most":  func(c *Config) { c.Act, c.Read = 0.6, 0.5 },
		"--customers 0":     func(c *Config) { c.Customers = 0 },
		"--items 21":        func(c *Config) { c.Items = 21 },
		"--zipf 1":          func(c *Config) { c.Zipf = 1 },
	} {
		c, target := constant(10, time.Second), newFake(atOnce)
		change(&c)
		if _, err := Run(t.Context(), c, target); err == nil || !strings.Contains(err.Error(), want) || len(target.asked) > 0 {
			t.Errorf("%s: got %v, %d requests", want, err, len(target.asked))
		}
	}
}

// An order that nobody knows the state of is left alone: what it would be told next could rightly be refused.
func TestAnOrderGoesOnUnlessItsStateIsUnknown(t *testing.T) {
	t.Parallel()
	id := uuid.New()
	for _, tt := range []struct {
		outcome Outcome
		key     string
		want    bool
	}{{Done, "", true}, {Refused, "", true}, {Busy, "", true}, {Busy, "k", false}, {NoAnswer, "", false}, {Wrong, "", false}} {
		e, before := &engine{}, placed{id: id, state: order.Order{Version: 1, Fulfilment: order.Placed}}
		e.settle(Request{Kind: Act, Order: id, Key: tt.key},
			Answer{Outcome: tt.outcome, Order: id, State: order.Order{Version: 2, Fulfilment: order.Confirmed}}, &before)
		got, found := e.orders.take(source(1))
		if found != tt.want || found && got.state.Version != map[bool]int64{true: 2, false: 1}[tt.outcome == Done] {
			t.Errorf("%s with key %q: found %v at version %d, want %v", tt.outcome, tt.key, found, got.state.Version, tt.want)
		}
		if _, again := e.orders.take(source(1)); again {
			t.Errorf("%s: the order can be taken twice", tt.outcome)
		}
	}
}

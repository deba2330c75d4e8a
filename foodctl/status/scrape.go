package status

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/adamkwhite/kafkafoodpipeline/internal/auth"
)

// Metrics are what one program exposes at a moment, by name.
type Metrics map[string]*dto.MetricFamily

// scrapeTimeout bounds the wait for a program that is stopped or busy.
const scrapeTimeout = time.Second

// Asker asks programs. The zero value shows no token and trusts no authority of one's own, as is right for children of foodctl.
type Asker struct {
	HTTP *http.Client // nil: the default one
}

// Scrape is what the zero Asker does.
func Scrape(ctx context.Context, url string) (Metrics, error) { return Asker{}.Scrape(ctx, url) }

// Ready is what the zero Asker does.
func Ready(ctx context.Context, url string) bool { return Asker{}.Ready(ctx, url) }

func (a Asker) get(ctx context.Context, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return cmp.Or(a.HTTP, http.DefaultClient).Do(req)
}

// Scrape reads the metrics of the program at the URL. Its error is an auth.Refusal if the program wants another token.
func (a Asker) Scrape(ctx context.Context, url string) (Metrics, error) {
	ctx, cancel := context.WithTimeout(ctx, scrapeTimeout)
	defer cancel()
	resp, err := a.get(ctx, url+"/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if err := auth.Refused(resp); err != nil {
		return nil, fmt.Errorf("%s/metrics: %w", url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s/metrics: %s", url, resp.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s/metrics: %w", url, err)
	}
	return families, nil
}

// Sum adds up a counter or gauge over its labels. A metric that is not there is 0.
func (m Metrics) Sum(name string) float64 {
	var sum float64
	for _, metric := range m[name].GetMetric() {
		sum += metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + metric.GetUntyped().GetValue()
	}
	return sum
}

// Count is how often something was observed that a histogram counts, over its labels.
func (m Metrics) Count(name string) (n uint64) {
	for _, metric := range m[name].GetMetric() {
		n += metric.GetHistogram().GetSampleCount()
	}
	return n
}

// Value is the counter's series with this label, 0 if there is none.
func (m Metrics) Value(name, label, value string) float64 {
	for _, metric := range m[name].GetMetric() {
		for _, l := range metric.GetLabel() {
			if l.GetName() == label && l.GetValue() == value {
				return metric.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// Is says whether the series of a gauge with this label is 1.
func (m Metrics) Is(name, label, value string) bool {
	for _, metric := range m[name].GetMetric() {
		for _, l := range metric.GetLabel() {
			if l.GetName() == label && l.GetValue() == value {
				return metric.GetGauge().GetValue() == 1
			}
		}
	}
	return false
}

// Ready asks a program whether it does its work.
func (a Asker) Ready(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, scrapeTimeout)
	defer cancel()
	resp, err := a.get(ctx, url+"/readyz")
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body) // so that the connection serves the next look, too
	return resp.StatusCode == http.StatusOK
}

package console

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// patience is how long a test waits for the page to show something, on a machine that does other things besides.
const patience = 60 * time.Second

// browser is one for all subtests of a test, in the hands of one of them.
type browser struct {
	t   *testing.T
	ctx context.Context
}

func startBrowser(t *testing.T) browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(findBrowser(t)), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WSURLReadTimeout(patience))
	allocator, release := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(release)
	ctx, quit := chromedp.NewContext(allocator)
	t.Cleanup(quit)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	return browser{t, ctx}
}

func findBrowser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "headless-shell"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("there is no browser: apt-get install --no-install-recommends chromium, or any Chrome as google-chrome in PATH")
	return ""
}

// tab is a page in the browser.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// look is how a tab shows a page.
type look struct {
	width, height int64
	scheme        string // prefers-color-scheme
}

var desk = look{1280, 800, "light"}

// open opens a page. When the test ends its console must have been without an error.
func (b browser) open(url string, how look) *tab {
	b.t.Helper()
	page := &tab{b.t, b.tab()}
	page.watchConsole()
	page.media("prefers-color-scheme", how.scheme, "prefers-reduced-motion", "reduce") // what moves costs the test's machine
	page.do(
		chromedp.EmulateViewport(how.width, how.height),
		call(emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "UTC"}),
	)
	page.load(url)
	return page
}

// load goes to a page. Chromium breaks off what it is loading when the machine's network changes, as it does whenever a test of
// another package starts a container: then it is told to load it again.
func (p *tab) load(url string) {
	p.t.Helper()
	const started = `String(Boolean(window.uPlot && document.querySelector('[data-testid="pending"]').textContent))`
	for range 5 {
		if p.do(chromedp.Navigate(url)); p.eval(started) == "true" {
			return
		}
	}
	p.t.Fatalf("the page's scripts do not start:\n%s", p.eval("document.body.innerText"))
}

// tab is an empty tab.
func (b browser) tab() context.Context {
	b.t.Helper()
	ctx, shut := chromedp.NewContext(b.ctx)
	b.t.Cleanup(shut)
	if err := chromedp.Do(ctx); err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	b.t.Cleanup(cancel)
	return ctx
}

// call is an action that has only a command.
func call[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}

// watchConsole fails the test for each error in the page's console, of which a violation of csp is one. That a resource
// could not be had is none: tests have the server refuse some.
func (p *tab) watchConsole() {
	ctx, cancel := context.WithCancel(p.ctx)
	messages := chromedp.Console(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		for m, err := range messages {
			if err != nil {
				return // the test has ended
			}
			if m.Source != "network" && (m.IsException() || m.Type == chromedp.ConsoleError || m.Type == chromedp.ConsoleWarning) {
				p.t.Errorf("the page's console: %s", m)
			}
		}
	})
	p.t.Cleanup(func() {
		cancel()
		watch.Wait()
	})
}

func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

// media has the browser prefer things, given as names and values, in the place of what it preferred before.
func (p *tab) media(preferences ...string) {
	p.t.Helper()
	var features []*emulation.MediaFeature
	for pair := range slices.Chunk(preferences, 2) {
		features = append(features, &emulation.MediaFeature{Name: pair[0], Value: pair[1]})
	}
	p.do(call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}))
}

// until waits until an expression is true.
func (p *tab) until(expression string) {
	p.t.Helper()
	holds := chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingTimeout(patience), chromedp.WithPollingInterval(50*time.Millisecond))
	if err := chromedp.Do(p.ctx, holds); err != nil {
		p.t.Fatalf("%s: %v\nthe page:\n%s", expression, err, p.eval("document.body.innerText"))
	}
}

// shows waits until the element with a data-testid has a text in it.
func (p *tab) shows(id, want string) {
	p.t.Helper()
	p.until(fmt.Sprintf("document.querySelector('[data-testid=%q]')?.textContent.includes(%q)", id, want))
}

// eval is an expression's value, as text.
func (p *tab) eval(expression string) string {
	p.t.Helper()
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatal(err)
	}
	return value
}

// click clicks the element that a CSS selector finds, and focus gives it the focus.
func (p *tab) click(selector string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(selector)))
}

func (p *tab) focus(selector string) {
	p.t.Helper()
	p.do(chromedp.Focus(chromedp.CSS(selector)))
}

func (p *tab) press(keys string) {
	p.t.Helper()
	p.do(chromedp.KeyEvent(keys))
}

// Package browser is a real browser for tests of a page: Debian's chromium, or any Chrome, without a window. A test that opens a page in
// it fails for each error in the page's console. Where there is no browser the test is skipped, and says how to have one.
package browser

import (
	"cmp"
	"context"
	"fmt"
	"os"
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

// Browser is one for all subtests of a test, in the hands of one of them.
type Browser struct {
	testing.TB

	ctx context.Context
}

// Start starts a browser, which ends with the test.
func Start(t testing.TB) Browser {
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
	return Browser{t, ctx}
}

// For is the same browser in the hands of a subtest.
func (b Browser) For(t *testing.T) Browser {
	t.Helper()
	return Browser{t, b.ctx}
}

func findBrowser(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "headless-shell"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("there is no browser: apt-get install --no-install-recommends chromium, or any Chrome as google-chrome in PATH")
	return ""
}

// Tab is a page in the browser.
type Tab struct {
	t       testing.TB
	ctx     context.Context
	started string
}

// Look is how a tab shows a page.
type Look struct {
	Width, Height int64
	Scheme        string // prefers-color-scheme
	Started       string // an expression that is true when the page's scripts have run; empty for the console's page
}

const consoleStarted = `Boolean(window.uPlot && document.querySelector('[data-testid="pending"]').textContent)`

// Desk is the window of a small laptop.
var Desk = Look{Width: 1280, Height: 800, Scheme: "light"}

// Open opens a page. When the test ends its console must have been without an error.
func (b Browser) Open(url string, how Look) *Tab {
	b.Helper()
	page := b.Empty()
	page.started = cmp.Or(how.Started, consoleStarted)
	page.watchConsole()
	page.Media("prefers-color-scheme", how.Scheme, "prefers-reduced-motion", "reduce") // what moves costs the test's machine
	page.Do(
		chromedp.EmulateViewport(how.Width, how.Height),
		Call(emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "UTC"}),
	)
	page.Load(url)
	return page
}

// Load goes to a page. Chromium breaks off what it is loading when the machine's network changes, as it does whenever a test of
// another package starts a container: then it is told to load it again.
func (p *Tab) Load(url string) {
	p.t.Helper()
	for range 5 {
		if p.Do(chromedp.Navigate(url)); p.Eval("String("+p.started+")") == "true" {
			return
		}
	}
	p.t.Fatalf("the page's scripts do not start:\n%s", p.Eval("document.body.innerText"))
}

// Empty is a tab without a page, whose console nobody watches.
func (b Browser) Empty() *Tab {
	b.Helper()
	ctx, shut := chromedp.NewContext(b.ctx)
	b.Cleanup(shut)
	if err := chromedp.Do(ctx); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*patience)
	b.Cleanup(cancel)
	return &Tab{t: b.TB, ctx: ctx}
}

// Call is an action that has only a command.
func Call[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}

// watchConsole fails the test for each error in the page's console, of which a violation of csp is one. That a resource
// could not be had is none: tests have the server refuse some.
func (p *Tab) watchConsole() {
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

// Do does what chromedp can.
func (p *Tab) Do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

// Media has the browser prefer things, given as names and values, in the place of what it preferred before.
func (p *Tab) Media(preferences ...string) {
	p.t.Helper()
	var features []*emulation.MediaFeature
	for pair := range slices.Chunk(preferences, 2) {
		features = append(features, &emulation.MediaFeature{Name: pair[0], Value: pair[1]})
	}
	p.Do(Call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}))
}

// Until waits until an expression is true.
func (p *Tab) Until(expression string) {
	p.t.Helper()
	holds := chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingTimeout(patience), chromedp.WithPollingInterval(50*time.Millisecond))
	if err := chromedp.Do(p.ctx, holds); err != nil {
		p.t.Fatalf("%s: %v\nthe page:\n%s", expression, err, p.Eval("document.body.innerText"))
	}
}

// Shows waits until the element with a data-testid has a text in it.
func (p *Tab) Shows(id, want string) {
	p.t.Helper()
	p.Until(fmt.Sprintf("document.querySelector('[data-testid=%q]')?.textContent.includes(%q)", id, want))
}

// Reads waits until the text of the element with a data-testid is no other.
func (p *Tab) Reads(id, want string) {
	p.t.Helper()
	p.Until(fmt.Sprintf("document.querySelector('[data-testid=%q]')?.textContent === %q", id, want))
}

// Eval is an expression's value, as text.
func (p *Tab) Eval(expression string) string {
	p.t.Helper()
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatal(err)
	}
	return value
}

// Click clicks the element that a CSS selector finds.
func (p *Tab) Click(selector string) {
	p.t.Helper()
	p.Do(chromedp.Click(chromedp.CSS(selector)))
}

// Focus gives the element that a CSS selector finds the focus.
func (p *Tab) Focus(selector string) {
	p.t.Helper()
	p.Do(chromedp.Focus(chromedp.CSS(selector)))
}

// Press presses keys.
func (p *Tab) Press(keys string) {
	p.t.Helper()
	p.Do(chromedp.KeyEvent(keys))
}

// Shoot writes a picture of the tab: of the whole page, where it is longer than the screen.
func (p *Tab) Shoot(file string) {
	p.t.Helper()
	picture, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(file, picture, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

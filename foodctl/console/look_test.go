package console

import (
	_ "embed"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

//go:embed testdata/axe/axe.min.js
var axe string

// violations are what axe has to say, of the kinds that shut people out.
const violations = `axe.run().then((r) => r.violations.filter((v) => ["serious", "critical"].includes(v.impact))
	.map((v) => v.id + ": " + v.help + "\n" + v.nodes.map((n) => "  " + n.target + " " + n.failureSummary).join("\n")).join("\n"))`

func isAccessible(b browser) {
	for _, scheme := range []string{"light", "dark"} {
		for name, now := range map[string]Snapshot{"in sync": scene(300), "relay down": relayDown(300), "mismatch": mismatched(300)} {
			page := b.open(newSite(b.t, now, history(300)).URL, look{1280, 800, scheme})
			page.axe(scheme + ", " + name)
			if now.Verdict.State != InSync {
				continue
			}
			page.click(`#tab-analytics`)
			page.axe(scheme + ", analytics")
			page.click(`#orders tr:nth-child(2) button`)
			page.shows("order-events", "16204")
			page.axe(scheme + ", an order")
		}
	}
}

// axe has the page examined.
func (p *tab) axe(what string) {
	p.t.Helper()
	p.eval(axe + "; ''")
	found := p.eval(violations)
	if found != "" {
		p.t.Errorf("%s: %s", what, found)
	}
}

// TestScreenshots writes pictures of the page into the directory SCREENSHOTS, if that is given: of the scenes, or with CONSOLE of
// the console at that address.
func TestScreenshots(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	b := startBrowser(t)
	for _, scheme := range []string{"light", "dark"} {
		url := os.Getenv("CONSOLE")
		if url == "" {
			url = newSite(t, scene(300), history(300)).URL + "/#token=secret"
		}
		page := b.open(url, look{1280, 800, scheme})
		page.until(`Number(document.getElementById("chart").dataset.points) > 1`)
		page.eval(`document.getElementById("tab-analytics")?.click(); ""`)
		page.shoot(filepath.Join(dir, "console-"+scheme+".png"))
	}
	if os.Getenv("CONSOLE") != "" {
		return
	}
	for name, shot := range map[string]struct {
		now Snapshot
		how look
	}{
		"mismatch":      {mismatched(300), desk},
		"mismatch-dark": {mismatched(300), look{1280, 800, "dark"}},
		"relay-down":    {relayDown(301), desk},
		"wide":          {scene(300), look{1920, 1080, "light"}},
		"phone":         {scene(300), look{390, 844, "light"}},
		"phone-dark":    {relayDown(301), look{390, 844, "dark"}},
	} {
		page := b.open(newSite(t, shot.now, append(history(300), shot.now.point())).URL+"/#token=secret", shot.how)
		page.shoot(filepath.Join(dir, name+".png"))
	}
	page := b.open(newSite(t, scene(300), history(300)).URL, desk)
	page.click(`#orders tr:nth-child(3) button`)
	page.shows("order-events", "16204")
	page.click(`#order-events summary`)
	page.shoot(filepath.Join(dir, "order.png"))
}

// shoot writes a picture of the tab: of the whole page, where it is longer than the screen.
func (p *tab) shoot(file string) {
	p.t.Helper()
	picture, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(file, picture, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

package console

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

//go:embed testdata/axe/axe.min.js
var axe string

// violations are what axe has to say of the kinds that shut people out, under the rules of some tags.
const violations = `axe.run({ runOnly: %s }).then((r) => r.violations.filter((v) => ["serious", "critical"].includes(v.impact))
	.map((v) => v.id + ": " + v.help + "\n" + v.nodes.map((n) => "  " + n.target + " " + n.failureSummary).join("\n")).join("\n"))`

// What axe looks at: everything, or colours alone, where all else has been looked at before.
const (
	everything = `["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]`
	colours    = `["color-contrast"]`
)

func isAccessible(b browser) {
	few := func(s Snapshot) Snapshot { // axe takes its time with each line
		s.Orders = s.Orders[:3]
		return s
	}
	for scheme, rules := range map[string]string{"light": everything, "dark": colours} {
		s := newSite(b.t, few(scene(300)), history(300))
		page := b.open(s.URL, look{1280, 800, scheme})
		page.eval(axe + "; ''")
		page.axe(rules, scheme+", in sync")
		s.push(few(relayDown(301)))
		page.shows("verdict-state", "Relay down")
		page.axe(colours, scheme+", relay down")
		s.push(few(mismatched(302)))
		page.shows("verdict-state", "Mismatch")
		page.click(`#tab-analytics`)
		page.axe(rules, scheme+", mismatch and analytics")
		page.click(`#orders tr:nth-child(2) button`)
		page.shows("order-events", "16204")
		page.axe(rules, scheme+", an order")
	}
}

// axe has the page examined.
func (p *tab) axe(rules, what string) {
	p.t.Helper()
	if found := p.eval(fmt.Sprintf(violations, rules)); found != "" {
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
		"crowded":       {crowded(301), desk},
		"tablet":        {scene(301), look{820, 1180, "light"}},
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

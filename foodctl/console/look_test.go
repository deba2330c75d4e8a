package console

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv/browser"
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

func isAccessible(b browser.Browser) {
	few := func(s Snapshot) Snapshot { // axe takes its time with each line
		s.Orders = s.Orders[:3]
		return s
	}
	for scheme, rules := range map[string]string{"light": everything, "dark": colours} {
		s := newSite(b, few(scene(300)), history(300))
		page := b.Open(s.URL, browser.Look{Width: 1280, Height: 800, Scheme: scheme})
		page.Eval(axe + "; ''")
		examine(b, page, rules, scheme+", in sync")
		s.push(few(relayDown(301)))
		page.Shows("verdict-state", "Relay down")
		examine(b, page, colours, scheme+", relay down")
		s.push(few(mismatched(302)))
		page.Shows("verdict-state", "Mismatch")
		page.Click(`#tab-analytics`)
		examine(b, page, rules, scheme+", mismatch and analytics")
		page.Click(`#orders tr:nth-child(2) button`)
		page.Shows("order-events", "16204")
		examine(b, page, rules, scheme+", an order")
	}
}

// examine has axe examine the page.
func examine(t testing.TB, page *browser.Tab, rules, what string) {
	t.Helper()
	if found := page.Eval(fmt.Sprintf(violations, rules)); found != "" {
		t.Errorf("%s: %s", what, found)
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
	b := browser.Start(t)
	for _, scheme := range []string{"light", "dark"} {
		url := os.Getenv("CONSOLE")
		if url == "" {
			url = newSite(t, scene(300), history(300)).URL + "/#token=secret"
		}
		page := b.Open(url, browser.Look{Width: 1280, Height: 800, Scheme: scheme})
		page.Until(`Number(document.getElementById("chart").dataset.points) > 1`)
		page.Eval(`document.getElementById("tab-analytics")?.click(); ""`)
		page.Shoot(filepath.Join(dir, "console-"+scheme+".png"))
	}
	if os.Getenv("CONSOLE") != "" {
		return
	}
	for name, shot := range map[string]struct {
		now Snapshot
		how browser.Look
	}{
		"mismatch":      {mismatched(300), browser.Desk},
		"mismatch-dark": {mismatched(300), browser.Look{Width: 1280, Height: 800, Scheme: "dark"}},
		"relay-down":    {relayDown(301), browser.Desk},
		"crowded":       {crowded(301), browser.Desk},
		"tablet":        {scene(301), browser.Look{Width: 820, Height: 1180, Scheme: "light"}},
		"wide":          {scene(300), browser.Look{Width: 1920, Height: 1080, Scheme: "light"}},
		"phone":         {scene(300), browser.Look{Width: 390, Height: 844, Scheme: "light"}},
		"phone-dark":    {relayDown(301), browser.Look{Width: 390, Height: 844, Scheme: "dark"}},
	} {
		page := b.Open(newSite(t, shot.now, append(history(300), shot.now.point())).URL+"/#token=secret", shot.how)
		page.Shoot(filepath.Join(dir, name+".png"))
	}
	page := b.Open(newSite(t, scene(300), history(300)).URL, browser.Desk)
	page.Click(`#orders tr:nth-child(3) button`)
	page.Shows("order-events", "16204")
	page.Click(`#order-events summary`)
	page.Shoot(filepath.Join(dir, "order.png"))
}

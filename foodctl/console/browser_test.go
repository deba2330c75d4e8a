package console

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv/browser"
)

// browserTests are claims about the page that only a browser can tell.
var browserTests = map[string]func(browser.Browser){
	"what changes is shown":                              showsChanges,
	"a mismatch turns the strip red and names its cause": showsMismatch,
	"a reconnect brings back points and marks":           redrawsAfterReconnect,
	"a console that began anew is followed":              followsNewConsole,
	"silence is said, and news end it":                   saysSilence,
	"an order's life opens and closes by keyboard":       opensOrderByKeyboard,
	"an order that is not there says so":                 saysOrderIsNotThere,
	"an order's life says what nobody knows":             saysWhatNobodyKnows,
	"an order's life says what must not be":              saysWhatMustNotBe,
	"only relays are cut off":                            cutsOnlyRelays,
	"lines stay while somebody is at them":               holdsLines,
	"controls need the token and say what they did":      breaksThings,
	"a refused token is forgotten":                       forgetsRefusedToken,
	"without leave there are no controls":                hasNoControls,
	"tabs answer to arrow keys":                          movesAlongTabs,
	"nothing moves for who wants no motion":              restsOnWish,
	"another colour scheme is followed":                  followsScheme,
	"without scripts the table alone is shown":           showsTableAlone,
	"one screen is enough":                               fitsOneScreen,
	"a phone's width is enough":                          fitsPhone,
	"axe finds nothing serious":                          isAccessible,
}

func TestThePageInABrowser(t *testing.T) {
	t.Parallel()
	b := browser.Start(t)
	for name, test := range browserTests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(b.For(t))
		})
	}
}

func showsChanges(b browser.Browser) {
	s := newSite(b, scene(1), history(1))
	page := b.Open(s.URL, browser.Desk)
	page.Shows("verdict-state", "In sync")
	s.push(relayDown(2))
	page.Shows("verdict-state", "Relay down")
	page.Shows("verdict-text", "312 events are safe in the outbox")
	page.Shows("pending", "312")
	page.Shows("pending-seconds", "3.1 s old")
	page.Shows("state-relay", "down")
	page.Shows("relay-role-relay", "does not answer")
	page.Shows("relay-role-relay-2", "standby")
	page.Until(`!document.querySelector('[data-testid="edge-relay"]').classList.contains("moving")`)
	page.Until(`document.querySelector('[data-testid="edge-outbox"]').classList.contains("moving")`)
	page.Shows("marks", "relay down: nobody publishes")
	page.Until(`document.getElementById("announce").textContent.startsWith("Relay down: ")`)
	s.push(scene(3))
	page.Shows("verdict-state", "In sync")
	for _, count := range scene(3).Audit.counts() {
		page.Reads(count.ID, "0")
	}
	page.Shows("rate-written", "120")
	page.Until(`document.title.startsWith("In sync")`)
}

func showsMismatch(b browser.Browser) {
	s := newSite(b, scene(1), nil)
	page := b.Open(s.URL, browser.Desk)
	page.Until(`document.querySelector('[data-testid="findings"]').hidden`)
	s.push(mismatched(2))
	page.Shows("verdict-state", "Mismatch")
	page.Until(`getComputedStyle(document.querySelector('[data-testid="verdict"]')).backgroundColor === "rgb(179, 38, 30)"`)
	page.Until(`document.getElementById("verdict-icon").getAttribute("href") === "#icon-mismatch"`)
	page.Shows("findings", "duplicates: p1 offset 16204 event 7 of its order came before")
	page.Shows("findings", "foodctl verify names them all")
	page.Reads("duplicates", "✕ 2")
	page.Reads("missing", "✕ 1")
	page.Reads("holes", "0")
	page.Reads("audit-events", "48,450")
	page.Reads("audit-compared", "39,450")
}

func redrawsAfterReconnect(b browser.Browser) {
	s := newSite(b, scene(300), history(300))
	page := b.Open(s.URL, browser.Desk)
	page.Until(`document.getElementById("chart").dataset.points === "300"`)
	page.Until(`document.getElementById("chart").dataset.marks === "5"`)
	page.Until(`document.querySelectorAll("#marks li").length === 5`)
	s.refuse(true)
	s.cut()
	s.push(relayDown(301)) // nobody hears it
	s.refuse(false)
	page.Until(`document.getElementById("chart").dataset.marks === "6"`)
	page.Shows("marks", "relay down: nobody publishes")
	s.push(scene(302))
	page.Shows("count-outbox", "84,450")
	page.Until(`document.querySelector("#chart canvas").width > 0`)
}

func followsNewConsole(b browser.Browser) {
	s := newSite(b, scene(300), history(300))
	page := b.Open(s.URL, browser.Desk)
	page.Until(`document.getElementById("chart").dataset.points === "300"`)
	again := relayDown(301)
	again.Number = 1
	s.mu.Lock()
	s.now, s.past = again, nil
	s.mu.Unlock()
	s.cut()
	page.Until(`document.getElementById("chart").dataset.points === "1"`)
	page.Shows("verdict-state", "Relay down")
}

func saysSilence(b browser.Browser) {
	s := newSite(b, scene(1), history(1))
	page := b.Open(s.URL, browser.Desk)
	page.Shows("stale", "no news for 5 s, reconnecting")
	page.Until(`document.body.classList.contains("is-stale")`)
	s.push(scene(2))
	page.Until(`document.querySelector('[data-testid="stale"]').textContent === ""`)
}

func opensOrderByKeyboard(b browser.Browser) {
	s := newSite(b, scene(1), nil)
	page := b.Open(s.URL, browser.Desk)
	page.Focus(`#orders tr:nth-child(2) button`)
	page.Press(kb.Enter)
	page.Until(`document.getElementById("order").open`)
	page.Until(`document.getElementById("order").contains(document.activeElement)`)
	page.Shows("order-events", "16204")
	page.Until(row(1, "1", "placed", "12:00:01", "+4.0 ms", "0/1A2B3C4D #0 (last)", "p1 16204", "yes"))
	page.Until(row(2, "2", "accepted", "12:00:02", "waits", "waits", "waits", "waits"))
	page.Reads("order-message", "")
	page.Until(`document.getElementById("order-facts").textContent.includes("authorized")`)
	page.Click(`#order-events summary`)
	page.Until(`document.querySelector("#order-events pre").textContent.includes("<img src=x")`)
	page.Press(kb.Escape)
	page.Until(`!document.getElementById("order").open`)
	page.Until(`document.activeElement === document.querySelector("#orders tr:nth-child(2) button")`)
}

func saysOrderIsNotThere(b browser.Browser) {
	s := newSite(b, scene(1), nil)
	page := b.Open(s.URL, browser.Desk)
	page.Click(fmt.Sprintf(`#orders tr[data-key=%q]`, orderID(999)))
	page.Shows("order-message", "There is no such order in the outbox.")
	page.Click(`#order-close`)
	page.Until(`!document.getElementById("order").open`)
}

// row holds if a line of an order's life reads so, but for its last cell.
func row(n int, cells ...string) string {
	return fmt.Sprintf(`[...document.querySelectorAll("#order-events tr:nth-child(%d) > *")].slice(0, %d).map((n) => n.textContent).join("|") === %q`,
		n, len(cells), strings.Join(cells, "|"))
}

func saysWhatNobodyKnows(b browser.Browser) {
	s := newSite(b, scene(1), nil)
	page := b.Open(s.URL, browser.Desk)
	page.Click(fmt.Sprintf(`#orders tr[data-key=%q]`, orderID(998)))
	page.Reads("order-message", "Not known: topic food-orders: it did not answer in time.")
	page.Until(row(1, "1", "placed", "12:00:01", "–", "–", "p1 16204?", "yes"))
	page.Until(row(2, "2", "accepted", "12:00:02", "–", "–", "–", "waits"))
}

func saysWhatMustNotBe(b browser.Browser) {
	s := newSite(b, scene(1), nil)
	page := b.Open(s.URL, browser.Desk)
	page.Click(fmt.Sprintf(`#orders tr[data-key=%q]`, orderID(997)))
	page.Until(row(1, "1", "placed", "12:00:01", "+4.0 ms", "0/1A2B3C4D #0 (last)", "p1 16204", "✕ another event"))
}

func cutsOnlyRelays(b browser.Browser) {
	page := b.Open(newSite(b, scene(1), nil).URL, browser.Desk)
	const cut = `[...document.querySelectorAll('[data-verb="partition"]')].map((n) => n.dataset.target).join()`
	if got := page.Eval(cut); got != "relay,relay-2" {
		b.Errorf("those that can be cut off: %s, want the relays", got)
	}
	page.Until(`document.getElementById("chaos-rate").min > 0`)
}

func holdsLines(b browser.Browser) {
	s := newSite(b, scene(1), nil)
	page := b.Open(s.URL, browser.Desk)
	first := fmt.Sprintf(`document.querySelector("#orders tr").dataset.key === %q`, orderID(1001))
	page.Until(first)
	page.Focus(`#orders tr:nth-child(2) button`)
	s.push(scene(5))
	page.Shows("orders-held", "held while you point at them")
	page.Until(`!document.querySelector('[data-testid="orders-held"]').hidden`)
	page.Until(first)
	page.Focus(`#tab-chaos`)
	s.push(scene(6))
	page.Until(fmt.Sprintf(`document.querySelector("#orders tr").dataset.key === %q`, orderID(1006)))
}

func breaksThings(b browser.Browser) {
	s := newSite(b, scene(1), nil)
	page := b.Open(s.URL, browser.Desk)
	page.Until(`!document.querySelector('[data-testid="chaos-needs"]').hidden`)
	page.Until(`document.querySelector('[data-verb="kill"]').disabled`)
	page.Do(chromedp.Navigate(s.URL + "/#token=secret"))
	page.Until(`document.querySelector('[data-testid="chaos-needs"]').hidden && location.hash === ""`)
	page.Click(`[data-verb="kill"][data-target="relay"]`)
	page.Shows("chaos-log", "kill map[target:relay]")
	page.Click(`[data-verb="pause"][data-target="projector-1"]`)
	page.Shows("chaos-log", "pause map[seconds:10 target:projector-1]")
	page.Do(chromedp.SetValue(chromedp.CSS("#chaos-rate"), "50"))
	page.Click(`[data-verb="rate"]`)
	page.Shows("chaos-log", "rate map[orders_per_second:50]")
	page.Do(chromedp.Reload()) // the session still has the token
	page.Until(`document.querySelector('[data-verb="kill"]')?.disabled === false`)
	if got := len(strings.Split(s.requests(), "\n")); got != 3 {
		b.Errorf("%d requests, want 3:\n%s", got, s.requests())
	}
}

func forgetsRefusedToken(b browser.Browser) {
	s := newSite(b, scene(1), nil)
	page := b.Open(s.URL+"/#token=stale", browser.Desk)
	page.Until(`document.querySelector('[data-verb="kill"]').disabled === false`)
	page.Click(`[data-verb="kill"][data-target="relay"]`)
	page.Shows("chaos-log", "The token is not the one of this run.")
	page.Until(`document.querySelector('[data-verb="kill"]').disabled`)
	page.Until(`sessionStorage.length === 0`)
}

func hasNoControls(b browser.Browser) {
	s := newSite(b, scene(1), nil)
	s.chaos = false
	page := b.Open(s.URL+"/#token=secret", browser.Desk)
	page.Shows("items", "Margherita")
	page.Until(`document.querySelectorAll('[data-verb], [role="tab"]').length === 0`)
	page.Until(`document.querySelector("#panel-analytics").offsetHeight > 100`)
}

func movesAlongTabs(b browser.Browser) {
	s := newSite(b, scene(1), nil)
	page := b.Open(s.URL, browser.Desk)
	page.Focus(`#tab-chaos`)
	page.Press(kb.ArrowRight)
	page.Until(`document.activeElement.id === "tab-analytics" && !document.getElementById("panel-analytics").hidden`)
	page.Until(`document.getElementById("panel-chaos").hidden`)
	page.Shows("kitchen", "on the way")
	page.Until(`document.querySelectorAll("#bars-orders rect").length === 30`)
	page.Press(kb.Home)
	page.Until(`document.activeElement.id === "tab-chaos" && !document.getElementById("panel-chaos").hidden`)
}

func restsOnWish(b browser.Browser) {
	page := b.Open(newSite(b, scene(1), nil).URL, browser.Desk)
	line := `getComputedStyle(document.querySelector('[data-testid="edge-relay"].moving .line')).animationName`
	page.Until(line + ` === "none"`)
	page.Media("prefers-reduced-motion", "no-preference")
	page.Until(line + ` === "flow"`)
}

func followsScheme(b browser.Browser) {
	page := b.Open(newSite(b, scene(300), history(300)).URL, browser.Desk)
	page.Until(`document.getElementById("chart").dataset.points === "300"`)
	page.Eval(`document.querySelector("#chart canvas").dataset.scheme = "light"`)
	page.Media("prefers-color-scheme", "dark")
	page.Until(`document.querySelectorAll("#chart canvas").length === 1 && !document.querySelector("#chart canvas").dataset.scheme`)
}

func showsTableAlone(b browser.Browser) {
	s := newSite(b, mismatched(5), nil)
	page := b.Empty()
	page.Do(browser.Call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}), chromedp.Navigate(s.URL))
	const visible = `[...document.querySelectorAll("body *")].filter((n) => n.offsetParent && n.matches("main, header, section, dialog")).map((n) => n.className).join()`
	if got := page.Eval(visible); got != "plain" {
		b.Errorf("visible: %q, want the plain table alone", got)
	}
	if got := page.Eval(`document.querySelector('.plain [data-testid="duplicates"]').textContent`); got != "2" {
		b.Errorf("duplicates: %q", got)
	}
}

// clipped are elements that do not have the room that they need.
const clipped = `[...document.querySelectorAll(".strip, .node, .tile, .audit, .panel-head, #panel-chaos, #panel-analytics, .processes .scroll")]
	.filter((n) => n.offsetParent && (n.scrollHeight > n.clientHeight + 1 || n.scrollWidth > n.clientWidth + 1))
	.map((n) => n.id || n.dataset.testid || n.className).join(", ")`

func fitsOneScreen(b browser.Browser) {
	for _, now := range []Snapshot{scene(300), crowded(300), relayDown(300), mismatched(300)} {
		page := b.Open(newSite(b, now, history(300)).URL, browser.Desk)
		page.Until(`document.documentElement.scrollHeight <= 800 && document.documentElement.scrollWidth <= 1280`)
		page.Until(`[...document.querySelectorAll("main.live > *")].every((n) => n.getBoundingClientRect().bottom <= 800)`)
		page.Until(`document.querySelector("#chart canvas").clientHeight > 120`)
		if now.Verdict.State != Mismatch { // whose findings take the room of lists
			if got := page.Eval(clipped); got != "" {
				b.Errorf("clipped: %s", got)
			}
		}
	}
}

func fitsPhone(b browser.Browser) {
	page := b.Open(newSite(b, mismatched(300), history(300)).URL, browser.Look{Width: 390, Height: 844, Scheme: "light"})
	page.Until(`document.documentElement.scrollWidth <= 390`)
	page.Until(`[...document.querySelectorAll("main.live > *, .node, .tile")].every((n) => n.getBoundingClientRect().right <= 390)`)
	page.Click(`#orders tr:nth-child(2) button`)
	page.Shows("order-events", "16204")
	page.Until(`document.getElementById("order").getBoundingClientRect().right <= 390`)
}

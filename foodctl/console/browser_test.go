package console

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// browserTests are claims about the page that only a browser can tell.
var browserTests = map[string]func(browser){
	"what changes is shown":                              showsChanges,
	"a mismatch turns the strip red and names its cause": showsMismatch,
	"a reconnect brings back points and marks":           redrawsAfterReconnect,
	"a console that began anew is followed":              followsNewConsole,
	"silence is said, and news end it":                   saysSilence,
	"an order's life opens and closes by keyboard":       opensOrderByKeyboard,
	"an order that is not there says so":                 saysOrderIsNotThere,
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
	b := startBrowser(t)
	for name, test := range browserTests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(browser{t, b.ctx})
		})
	}
}

func showsChanges(b browser) {
	s := newSite(b.t, scene(1), history(1))
	page := b.open(s.URL, desk)
	page.shows("verdict-state", "In sync")
	s.push(relayDown(2))
	page.shows("verdict-state", "Relay down")
	page.shows("verdict-text", "312 events are safe in the outbox")
	page.shows("pending", "312")
	page.shows("pending-seconds", "3.1 s old")
	page.shows("state-relay", "down")
	page.shows("relay-role-relay", "does not answer")
	page.shows("relay-role-relay-2", "standby")
	page.until(`!document.querySelector('[data-testid="edge-relay"]').classList.contains("moving")`)
	page.until(`document.querySelector('[data-testid="edge-outbox"]').classList.contains("moving")`)
	page.shows("marks", "relay down: nobody publishes")
	page.until(`document.getElementById("announce").textContent.startsWith("Relay down: ")`)
	s.push(scene(3))
	page.shows("verdict-state", "In sync")
	page.shows("duplicates", "0")
	page.shows("rate-written", "120")
	page.until(`document.title.startsWith("In sync")`)
}

func showsMismatch(b browser) {
	s := newSite(b.t, scene(1), nil)
	page := b.open(s.URL, desk)
	page.until(`document.querySelector('[data-testid="findings"]').hidden`)
	s.push(mismatched(2))
	page.shows("verdict-state", "Mismatch")
	page.until(`getComputedStyle(document.querySelector('[data-testid="verdict"]')).backgroundColor === "rgb(179, 38, 30)"`)
	page.until(`document.getElementById("verdict-icon").getAttribute("href") === "#icon-mismatch"`)
	page.shows("findings", "duplicates: p1 offset 16204 event 7 of its order came before")
	page.shows("duplicates", "✕ 2")
	page.shows("missing", "✕ 1")
	page.shows("holes", "0")
}

func redrawsAfterReconnect(b browser) {
	s := newSite(b.t, scene(300), history(300))
	page := b.open(s.URL, desk)
	page.until(`document.getElementById("chart").dataset.points === "300"`)
	page.until(`document.getElementById("chart").dataset.marks === "5"`)
	page.until(`document.querySelectorAll("#marks li").length === 5`)
	s.refuse(true)
	s.cut()
	s.push(relayDown(301)) // nobody hears it
	s.refuse(false)
	page.until(`document.getElementById("chart").dataset.marks === "6"`)
	page.shows("marks", "relay down: nobody publishes")
	s.push(scene(302))
	page.shows("count-outbox", "84,450")
	page.until(`document.querySelector("#chart canvas").width > 0`)
}

func followsNewConsole(b browser) {
	s := newSite(b.t, scene(300), history(300))
	page := b.open(s.URL, desk)
	page.until(`document.getElementById("chart").dataset.points === "300"`)
	again := relayDown(301)
	again.Number = 1
	s.mu.Lock()
	s.now, s.past = again, nil
	s.mu.Unlock()
	s.cut()
	page.until(`document.getElementById("chart").dataset.points === "1"`)
	page.shows("verdict-state", "Relay down")
}

func saysSilence(b browser) {
	s := newSite(b.t, scene(1), history(1))
	page := b.open(s.URL, desk)
	page.shows("stale", "no news for 5 s, reconnecting")
	page.until(`document.body.classList.contains("is-stale")`)
	s.push(scene(2))
	page.until(`document.querySelector('[data-testid="stale"]').textContent === ""`)
}

func opensOrderByKeyboard(b browser) {
	s := newSite(b.t, scene(1), nil)
	page := b.open(s.URL, desk)
	page.focus(`#orders tr:nth-child(2) button`)
	page.press(kb.Enter)
	page.until(`document.getElementById("order").open`)
	page.until(`document.getElementById("order").contains(document.activeElement)`)
	page.shows("order-events", "16204")
	page.shows("order-events", "+41 ms")
	page.shows("order-events", "waits")
	page.until(`document.getElementById("order-facts").textContent.includes("delivery")`)
	page.click(`#order-events summary`)
	page.until(`document.querySelector("#order-events pre").textContent.includes("<img src=x")`)
	page.press(kb.Escape)
	page.until(`!document.getElementById("order").open`)
	page.until(`document.activeElement === document.querySelector("#orders tr:nth-child(2) button")`)
}

func saysOrderIsNotThere(b browser) {
	s := newSite(b.t, scene(1), nil)
	page := b.open(s.URL, desk)
	page.click(fmt.Sprintf(`#orders tr[data-key=%q]`, orderID(999)))
	page.shows("order-message", "There is no such order in the outbox.")
	page.click(`#order-close`)
	page.until(`!document.getElementById("order").open`)
}

func holdsLines(b browser) {
	s := newSite(b.t, scene(1), nil)
	page := b.open(s.URL, desk)
	first := fmt.Sprintf(`document.querySelector("#orders tr").dataset.key === %q`, orderID(1001))
	page.until(first)
	page.focus(`#orders tr:nth-child(2) button`)
	s.push(scene(5))
	page.shows("orders-held", "held while you point at them")
	page.until(`!document.querySelector('[data-testid="orders-held"]').hidden`)
	page.until(first)
	page.focus(`#tab-chaos`)
	s.push(scene(6))
	page.until(fmt.Sprintf(`document.querySelector("#orders tr").dataset.key === %q`, orderID(1006)))
}

func breaksThings(b browser) {
	s := newSite(b.t, scene(1), nil)
	page := b.open(s.URL, desk)
	page.until(`!document.querySelector('[data-testid="chaos-needs"]').hidden`)
	page.until(`document.querySelector('[data-verb="kill"]').disabled`)
	page.do(chromedp.Navigate(s.URL + "/#token=secret"))
	page.until(`document.querySelector('[data-testid="chaos-needs"]').hidden && location.hash === ""`)
	page.click(`[data-verb="kill"][data-target="relay"]`)
	page.shows("chaos-log", "kill map[target:relay]")
	page.click(`[data-verb="pause"][data-target="projector-1"]`)
	page.shows("chaos-log", "pause map[seconds:10 target:projector-1]")
	page.do(chromedp.SetValue(chromedp.CSS("#chaos-rate"), "50"))
	page.click(`[data-verb="rate"]`)
	page.shows("chaos-log", "rate map[orders_per_second:50]")
	page.do(chromedp.Reload()) // the session still has the token
	page.until(`document.querySelector('[data-verb="kill"]')?.disabled === false`)
	if got := len(strings.Split(s.requests(), "\n")); got != 3 {
		b.t.Errorf("%d requests, want 3:\n%s", got, s.requests())
	}
}

func forgetsRefusedToken(b browser) {
	s := newSite(b.t, scene(1), nil)
	page := b.open(s.URL+"/#token=stale", desk)
	page.until(`document.querySelector('[data-verb="kill"]').disabled === false`)
	page.click(`[data-verb="kill"][data-target="relay"]`)
	page.shows("chaos-log", "The token is not the one of this run.")
	page.until(`document.querySelector('[data-verb="kill"]').disabled`)
	page.until(`sessionStorage.length === 0`)
}

func hasNoControls(b browser) {
	s := newSite(b.t, scene(1), nil)
	s.chaos = false
	page := b.open(s.URL+"/#token=secret", desk)
	page.shows("items", "Margherita")
	page.until(`document.querySelectorAll('[data-verb], [role="tab"]').length === 0`)
	page.until(`document.querySelector("#panel-analytics").offsetHeight > 100`)
}

func movesAlongTabs(b browser) {
	s := newSite(b.t, scene(1), nil)
	page := b.open(s.URL, desk)
	page.focus(`#tab-chaos`)
	page.press(kb.ArrowRight)
	page.until(`document.activeElement.id === "tab-analytics" && !document.getElementById("panel-analytics").hidden`)
	page.until(`document.getElementById("panel-chaos").hidden`)
	page.shows("kitchen", "on the way")
	page.until(`document.querySelectorAll("#bars-orders rect").length === 30`)
	page.press(kb.Home)
	page.until(`document.activeElement.id === "tab-chaos" && !document.getElementById("panel-chaos").hidden`)
}

func restsOnWish(b browser) {
	page := b.open(newSite(b.t, scene(1), nil).URL, desk)
	line := `getComputedStyle(document.querySelector('[data-testid="edge-relay"].moving .line')).animationName`
	page.until(line + ` === "none"`)
	page.media("prefers-reduced-motion", "no-preference")
	page.until(line + ` === "flow"`)
}

func followsScheme(b browser) {
	page := b.open(newSite(b.t, scene(300), history(300)).URL, desk)
	page.until(`document.getElementById("chart").dataset.points === "300"`)
	page.eval(`document.querySelector("#chart canvas").dataset.scheme = "light"`)
	page.media("prefers-color-scheme", "dark")
	page.until(`document.querySelectorAll("#chart canvas").length === 1 && !document.querySelector("#chart canvas").dataset.scheme`)
}

func showsTableAlone(b browser) {
	s := newSite(b.t, mismatched(5), nil)
	page := &tab{b.t, b.tab()}
	page.do(call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}), chromedp.Navigate(s.URL))
	const visible = `[...document.querySelectorAll("body *")].filter((n) => n.offsetParent && n.matches("main, header, section, dialog")).map((n) => n.className).join()`
	if got := page.eval(visible); got != "plain" {
		b.t.Errorf("visible: %q, want the plain table alone", got)
	}
	if got := page.eval(`document.querySelector('.plain [data-testid="duplicates"]').textContent`); got != "2" {
		b.t.Errorf("duplicates: %q", got)
	}
}

// clipped are elements that do not have the room that they need.
const clipped = `[...document.querySelectorAll(".strip, .node, .tile, .audit, .panel-head, #panel-chaos, #panel-analytics, .processes .scroll")]
	.filter((n) => n.offsetParent && (n.scrollHeight > n.clientHeight + 1 || n.scrollWidth > n.clientWidth + 1))
	.map((n) => n.id || n.dataset.testid || n.className).join(", ")`

func fitsOneScreen(b browser) {
	for _, now := range []Snapshot{scene(300), crowded(300), relayDown(300), mismatched(300)} {
		page := b.open(newSite(b.t, now, history(300)).URL, desk)
		page.until(`document.documentElement.scrollHeight <= 800 && document.documentElement.scrollWidth <= 1280`)
		page.until(`[...document.querySelectorAll("main.live > *")].every((n) => n.getBoundingClientRect().bottom <= 800)`)
		page.until(`document.querySelector("#chart canvas").clientHeight > 120`)
		if now.Verdict.State != Mismatch { // whose findings take the room of lists
			if got := page.eval(clipped); got != "" {
				b.t.Errorf("clipped: %s", got)
			}
		}
	}
}

func fitsPhone(b browser) {
	page := b.open(newSite(b.t, mismatched(300), history(300)).URL, look{390, 844, "light"})
	page.until(`document.documentElement.scrollWidth <= 390`)
	page.until(`[...document.querySelectorAll("main.live > *, .node, .tile")].every((n) => n.getBoundingClientRect().right <= 390)`)
	page.click(`#orders tr:nth-child(2) button`)
	page.shows("order-events", "16204")
	page.until(`document.getElementById("order").getBoundingClientRect().right <= 390`)
}

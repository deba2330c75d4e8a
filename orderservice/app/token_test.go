package app

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/auth"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

func TestEventsNameTheTokenThatTheirCommandCameWith(t *testing.T) {
	t.Parallel()
	token, line, err := auth.NewToken("till", auth.Command)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	database := testenv.Orders(t)
	p := start(t, database, "TOKEN_FILE="+file)
	if without, err := p.place("a"); err != nil || without.code != http.StatusUnauthorized {
		t.Errorf("without a token: got %d %s (%v), want 401", without.code, without.body, err)
	}
	with, err := p.request(http.MethodPost, "/v1/orders", soup, "Content-Type", "application/json", "Authorization", "Bearer "+token)
	if err != nil || with.code != http.StatusCreated {
		t.Fatalf("with one: got %d %s (%v), want the order", with.code, with.body, err)
	}
	if got := query[string](t, database, "SELECT headers->>'actor' FROM outbox"); got != "api:till" {
		t.Errorf("got %q, want the token's name", got)
	}
	erase, err := p.request(http.MethodDelete, "/v1/customers/7", "", "Authorization", "Bearer "+token)
	if err != nil || erase.code != http.StatusForbidden {
		t.Errorf("to erase takes more: got %d %s (%v), want 403", erase.code, erase.body, err)
	}
}

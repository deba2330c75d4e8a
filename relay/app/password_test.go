package app

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// A password is read from its file for each connection: changed in both places, it takes no restart, and a standby that has
// waited since before takes over.
func TestPasswordThatIsChangedUnderARunningRelay(t *testing.T) {
	t.Parallel()
	s := setup(t)
	login := testenv.Name(t)
	file := filepath.Join(t.TempDir(), "password")
	change := func(statement, password string) {
		t.Helper()
		s.exec(statement + " ROLE " + pgx.Identifier{login}.Sanitize() + " LOGIN REPLICATION PASSWORD '" + password + "'")
		if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	change("CREATE", "first")
	t.Cleanup(func() {
		if _, err := s.db.Exec(context.Background(), "DROP ROLE "+pgx.Identifier{login}.Sanitize()); err != nil {
			t.Error(err)
		}
	})
	s.exec("GRANT orders_relay TO " + pgx.Identifier{login}.Sanitize())

	u, err := url.Parse(s.config.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(login)
	s.config.DatabaseURL, s.config.DatabaseFlags.PasswordFile = u.String(), file
	_, stop := s.start()
	s.write(3, 1)
	s.published()
	watchers := func() (pids []int32) {
		t.Helper()
		err := s.db.QueryRow(t.Context(), `
SELECT array_agg(pid)
FROM pg_stat_activity
WHERE usename = $1 AND application_name = 'relay-watch'`, login).Scan(&pids)
		if err != nil {
			t.Fatal(err)
		}
		return pids
	}
	// Each has one for its start and one for its monitor.
	s.wait("the relay to watch its slot", func() bool { return len(watchers()) == 2 })
	ofTheFirst := watchers()
	s.start()
	s.wait("the second relay to stand by and watch", func() bool { return len(watchers()) == 4 })

	change("ALTER", "second")
	s.exec("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS p (pid)", ofTheFirst)
	s.wait("the first to watch its slot over a new connection", func() bool { return len(watchers()) == 3 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s.write(3, 1)
	s.published()
}

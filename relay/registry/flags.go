package registry

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// Flags are the kong flags that name a registry. Their zero value is none.
type Flags struct {
	URL          string `name:"schema-registry" group:"Schema registry" help:"Schema registry that speaks Confluent's protocol, http or https, with a user in it if it wants one: the schemas of the events are registered there before anything is published, and each value is written behind the id of its schema. See docs/contracts. By default there is none, and values are plain." env:"RELAY_SCHEMA_REGISTRY" placeholder:"URL"`
	PasswordFile string `name:"schema-registry-password-file" group:"Schema registry" help:"File that holds the password of that user, so that it need not be in the URL." env:"RELAY_SCHEMA_REGISTRY_PASSWORD_FILE" placeholder:"FILE"`
	Dir          string `name:"schemas" group:"Schema registry" help:"Directory with a JSON Schema TYPE.json for each type of event, of an outbox that --outbox describes. The food orders' are in the program." env:"RELAY_SCHEMAS" placeholder:"DIR"`
}

// errURL does not have the URL in it, which may have a password.
var errURL = errors.New("--schema-registry cannot be understood: want http://HOST:PORT or https://USER@HOST/PATH, " +
	"with the characters / @ : # ? % of a password percent-encoded")

// check returns an error that names the flag to change. Own says that the outbox is the orders database's.
func (f Flags) check(own bool) error {
	switch {
	case f.URL == "" && f.PasswordFile != "":
		return errors.New("--schema-registry-password-file is for --schema-registry, which is not given")
	case f.URL == "" && f.Dir != "":
		return errors.New("--schemas is for --schema-registry, which is not given")
	case f.URL == "":
		return nil
	case own && f.Dir != "":
		return errors.New("--schemas is for --outbox: the schemas of the food orders are in the program")
	case !own && f.Dir == "":
		return errors.New("--schema-registry needs --schemas with --outbox: a directory with a TYPE.json for each type of event")
	}
	u, err := url.Parse(f.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return errURL
	}
	if f.PasswordFile == "" {
		return nil
	}
	if u.User == nil {
		return errors.New("--schema-registry-password-file needs a user in --schema-registry, https://USER@HOST")
	}
	_, err = f.password(u)
	return err
}

// address is the registry's without a login. It may be shown.
func (f Flags) address() string {
	u, err := url.Parse(f.URL)
	if err != nil {
		return ""
	}
	u.User = nil
	return u.String()
}

// login gives a request the login of the moment: a password that was replaced is used from the next one on.
func (f Flags) login(request *http.Request) error {
	u, err := url.Parse(f.URL)
	if err != nil {
		return errURL
	}
	if u.User == nil {
		return nil
	}
	password, err := f.password(u)
	if err == nil {
		request.SetBasicAuth(u.User.Username(), password)
	}
	return err
}

func (f Flags) password(u *url.URL) (string, error) {
	if f.PasswordFile == "" {
		password, _ := u.User.Password()
		return password, nil
	}
	password, err := ops.Secret(f.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("--schema-registry-password-file: %w", err)
	}
	return password, nil
}

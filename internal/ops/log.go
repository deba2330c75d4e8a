package ops

import (
	"context"
	"io"
	"log/slog"
	"os"
)

// LogFlags are the kong flags of a program that logs and does not listen.
type LogFlags struct {
	LogLevel  slog.Level `help:"Least severe messages to log: debug, info, warn or error (${default})." env:"LOG_LEVEL" default:"info" placeholder:"LEVEL"`
	LogFormat string     `help:"Log as text or json; auto is text on a terminal, else json (${default})." env:"LOG_FORMAT" default:"auto" enum:"auto,text,json" placeholder:"FORMAT"`
}

// Log makes the program's logger. Messages below the level are dropped.
//
// JSON is for machines that gather the lines of many programs, so each line names its program, and the host or container
// that it ran in. Text is for a person in front of one program, who knows.
func (f LogFlags) Log(program string, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: f.LogLevel}
	if f.LogFormat == "text" || (f.LogFormat != "json" && terminal(w)) {
		return slog.New(slog.NewTextHandler(w, options))
	}
	instance, err := os.Hostname()
	if err != nil {
		instance = "unknown"
	}
	return slog.New(slog.NewJSONHandler(w, options)).With("program", program, "instance", instance)
}

func terminal(w io.Writer) bool {
	file, isFile := w.(*os.File)
	if !isFile {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Ended tells the log how the program ended, and returns err for Exit. Into a JSON log the error goes as a line like all
// others, and Exit prints nothing: whoever gathers the lines reads one format. Beside a text log Exit prints it, for a
// person.
func Ended(log *slog.Logger, err error) error {
	if err == nil {
		log.Info("stopped")
		return nil
	}
	if _, isJSON := log.Handler().(*slog.JSONHandler); !isJSON || silent(err) {
		return err
	}
	log.Error("ended with an error", "err", oneLine(err), "exit_code", exitCode(err))
	return &logged{err}
}

// logged is an error that the log has.
type logged struct{ error }

// Unwrap returns the error.
func (l *logged) Unwrap() error { return l.error }

// Library is the log for a library that talks for itself. What it calls an error it mostly mends by itself, and it
// informs of every connection: so its errors are our warnings, its warnings our information, and the rest is below debug
// (LOG_LEVEL=debug-4), where it does not bury what is ours.
func Library(log *slog.Logger) *slog.Logger {
	return slog.New(quieter{log.Handler()})
}

type quieter struct{ slog.Handler }

// Enabled implements slog.Handler.
func (q quieter) Enabled(ctx context.Context, l slog.Level) bool {
	return q.Handler.Enabled(ctx, lower(l))
}

// Handle implements slog.Handler.
func (q quieter) Handle(ctx context.Context, r slog.Record) error {
	r.Level = lower(r.Level)
	return q.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (q quieter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quieter{q.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (q quieter) WithGroup(name string) slog.Handler { return quieter{q.Handler.WithGroup(name)} }

func lower(l slog.Level) slog.Level {
	switch {
	case l >= slog.LevelError:
		return slog.LevelWarn
	case l >= slog.LevelWarn:
		return slog.LevelInfo
	}
	return slog.LevelDebug - 4
}

package layout

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// route makes a topic's name out of a value, as org.apache.kafka.connect.transforms.RegexRouter does: if all of the value
// matches, it is replaced; otherwise it stays.
type route struct {
	column      string
	regex       *regexp.Regexp
	replacement string
	fixed       string // the one topic, if there is but one
}

func (r *route) topic(value string) string {
	match := r.regex.FindStringSubmatchIndex(value)
	if match == nil {
		return value
	}
	return string(r.regex.ExpandString(nil, r.replacement, value, match))
}

// group is a reference in a replacement, as Java has it: $1 or ${name}.
var group = regexp.MustCompile(`\$(?:(\d)|\{(\w+)\})`)

// everything are regular expressions that any value matches.
var everything = []string{"(?<routedByValue>.*)", "(.*)", ".*"}

// routeBy reads how a topic's name is made.
func (l *Layout) routeBy(by, regex, replacement string) error {
	re, err := regexp.Compile(`^(?:` + regex + `)$`)
	if err != nil {
		return fmt.Errorf("route.topic.regex: %w", err)
	}
	for _, m := range group.FindAllStringSubmatch(replacement, -1) {
		number, err := strconv.Atoi(m[1])
		if err == nil && number > re.NumSubexp() || err != nil && re.SubexpIndex(m[2]) < 0 {
			return fmt.Errorf("route.topic.replacement: %s is no group of route.topic.regex, %s", m[0], regex)
		}
	}
	if rest := group.ReplaceAllString(replacement, ""); strings.ContainsAny(rest, `$\`) {
		return fmt.Errorf("route.topic.replacement: %s; want a name with $1 or ${group} in it", replacement)
	}
	l.route = &route{column: by, regex: re, replacement: group.ReplaceAllString(replacement, `$${$1$2}`)}
	if slices.Contains(everything, regex) && !group.MatchString(replacement) {
		l.route.fixed = replacement
		return nil
	}
	l.columns = append(l.columns, column{name: by, role: aggregateType})
	return nil
}

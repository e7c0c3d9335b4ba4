package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A value is one member of a Config, settable from a decoded TOML value or from the text
// of a variable or flag.
type value interface {
	set(raw any) error
	// toml returns the value as it is written in a file.
	toml() string
	// plain returns the value as JSON shows it.
	plain() any
}

type stringValue struct{ p *string }

func (v stringValue) set(raw any) error {
	s, ok := raw.(string)
	if !ok {
		return errors.New("write a string")
	}
	*v.p = s
	return nil
}
func (v stringValue) toml() string { return quote(*v.p) }
func (v stringValue) plain() any   { return *v.p }

// A choiceValue is a string out of a few.
type choiceValue struct {
	p       *string
	choices []string
}

func (v choiceValue) set(raw any) error {
	s, ok := raw.(string)
	if !ok || !slices.Contains(v.choices, s) {
		return fmt.Errorf("write one of %s", strings.Join(v.choices, ", "))
	}
	*v.p = s
	return nil
}
func (v choiceValue) toml() string { return quote(*v.p) }
func (v choiceValue) plain() any   { return *v.p }

type boolValue struct{ p *bool }

func (v boolValue) set(raw any) error {
	b, ok := raw.(bool)
	if s, isText := raw.(string); isText {
		var err error
		b, err = strconv.ParseBool(s)
		ok = err == nil
	}
	if !ok {
		return errors.New("write true or false")
	}
	*v.p = b
	return nil
}
func (v boolValue) toml() string { return strconv.FormatBool(*v.p) }
func (v boolValue) plain() any   { return *v.p }

type intValue struct{ p *int }

func (v intValue) set(raw any) error {
	n, err := strconv.Atoi(fmt.Sprint(raw))
	if err != nil {
		return errors.New("write a whole number")
	}
	*v.p = n
	return nil
}
func (v intValue) toml() string { return strconv.Itoa(*v.p) }
func (v intValue) plain() any   { return *v.p }

type sizeValue struct{ p *int64 }

func (v sizeValue) set(raw any) error {
	s, ok := raw.(string)
	if !ok {
		return errSize
	}
	n, err := ParseSize(s)
	if err != nil {
		return err
	}
	*v.p = n
	return nil
}
func (v sizeValue) toml() string { return quote(formatSize(*v.p)) }
func (v sizeValue) plain() any   { return formatSize(*v.p) }

type durationValue struct{ p *time.Duration }

func (v durationValue) set(raw any) error {
	s, ok := raw.(string)
	if !ok {
		return errDuration
	}
	d, err := ParseDuration(s)
	if err != nil {
		return err
	}
	*v.p = d
	return nil
}
func (v durationValue) toml() string { return quote(formatDuration(*v.p)) }
func (v durationValue) plain() any   { return formatDuration(*v.p) }

// A listValue is a list of strings; as text its members are separated by commas.
type listValue struct{ p *[]string }

func (v listValue) set(raw any) error {
	list, ok := stringList(raw)
	if !ok {
		return errors.New(`write a list of strings, for example ["a", "b"]`)
	}
	*v.p = list
	return nil
}

func (v listValue) toml() string {
	quoted := make([]string, len(*v.p))
	for i, s := range *v.p {
		quoted[i] = quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func (v listValue) plain() any { return append([]string{}, *v.p...) }

// stringList returns raw as a list: a TOML array of strings, or text separated by commas.
func stringList(raw any) ([]string, bool) {
	if s, ok := raw.(string); ok {
		list := strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
		return list, true
	}
	items, ok := raw.([]any)
	if !ok {
		return nil, false
	}
	list := make([]string, len(items))
	for i, item := range items {
		if list[i], ok = item.(string); !ok {
			return nil, false
		}
	}
	return list, true
}

// quote writes s as a TOML basic string. JSON's escapes are all TOML's, but for DEL,
// which JSON leaves as it is.
func quote(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return `""` // cannot be: every string has a JSON form
	}
	return strings.ReplaceAll(strings.TrimSuffix(b.String(), "\n"), "\x7f", `\u007f`)
}

// A urlValue is a URL whose password is shown to nobody.
type urlValue struct{ stringValue }

func (v urlValue) plain() any {
	u, err := url.Parse(*v.p)
	if err != nil {
		return hidden // it did not pass validation: no telling where its password is
	}
	return u.Redacted()
}

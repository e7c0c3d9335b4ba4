package npm

import (
	"errors"
	"fmt"
	"io"
)

// number reads a number: an optional sign, digits without a needless zero, a fraction, an
// exponent.
func (s *scanner) number() error {
	if _, err := s.optional("-"); err != nil {
		return err
	}
	zero, err := s.optional("0")
	if err != nil {
		return err
	}
	if zero == 0 {
		if err := s.digits(); err != nil {
			return err
		}
	}
	point, err := s.optional(".")
	if err != nil {
		return err
	}
	if point != 0 {
		if err := s.digits(); err != nil {
			return err
		}
	}
	exponent, err := s.optional("eE")
	if err != nil || exponent == 0 {
		return err
	}
	if _, err := s.optional("+-"); err != nil {
		return err
	}
	return s.digits()
}

// optional takes the next byte if it is one of those given, else it returns 0. The end of
// the text is no error.
func (s *scanner) optional(chars string) (byte, error) {
	if s.pos == len(s.buf) {
		if err := s.fill(); errors.Is(err, io.EOF) {
			return 0, nil
		} else if err != nil {
			return 0, err
		}
	}
	for i := range len(chars) {
		if s.buf[s.pos] == chars[i] {
			s.pos++
			return chars[i], nil
		}
	}
	return 0, nil
}

// digits reads one or more digits.
func (s *scanner) digits() error {
	for n := 0; ; n++ {
		c, err := s.optional("0123456789")
		if err != nil {
			return err
		}
		if c == 0 && n == 0 {
			return fmt.Errorf("%w: a value or a digit is missing", errJSON)
		}
		if c == 0 {
			return nil
		}
	}
}

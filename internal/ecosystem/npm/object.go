package npm

import (
	"bufio"
	"bytes"
	"encoding/json"
)

// An object writes the members of a JSON object. Errors stay in the buffered writer, which
// returns them at its Flush.
type object struct {
	w     *bufio.Writer
	begun bool
}

// key writes the key of the next member, which is quoted already.
func (o *object) key(quoted []byte) {
	if o.begun {
		o.value([]byte(","))
	} else {
		o.value([]byte("{"))
	}
	o.begun = true
	o.value(quoted)
	o.value([]byte(":"))
}

// value writes JSON as it stands.
func (o *object) value(raw []byte) { _, _ = o.w.Write(raw) } // Flush returns the error

// member writes a key, quoted already, and its value.
func (o *object) member(quoted string, raw []byte) {
	o.key([]byte(quoted))
	o.value(raw)
}

// end closes the object.
func (o *object) end() {
	if !o.begun {
		o.value([]byte("{"))
	}
	o.value([]byte("}"))
}

// quote returns the JSON string that says s. Marks that HTML gives a meaning stay as they are.
func quote(s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return []byte(`""`) // impossible: strings can always be encoded
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

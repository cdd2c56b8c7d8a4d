package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

var hexText = regexp.MustCompile(`^0x([0-9a-f]{2})*$`)

// form reads members of an object; byte strings are hexadecimal in JSON and bytes in CBOR.
type form struct {
	members     map[string]any
	code        string
	hexadecimal bool
}

func newForm(value any, names []string, code string, hexadecimal bool) form {
	members, ok := value.(map[string]any)
	if !ok || len(members) != len(names) {
		refuse(code, "an object does not have exactly the members %s", strings.Join(names, ", "))
	}
	for _, name := range names {
		if _, ok := members[name]; !ok {
			refuse(code, "member %s is missing", name)
		}
	}
	return form{members, code, hexadecimal}
}

func (f form) inner(name string, names ...string) form {
	return newForm(f.members[name], names, f.code, f.hexadecimal)
}

func (f form) items(name string, most int) []any {
	list, ok := f.members[name].([]any)
	if !ok || len(list) > most {
		refuse(f.code, "%s is not a list of at most %d", name, most)
	}
	return list
}

func (f form) innerList(name string, most int, names ...string) (all []form) {
	for _, each := range f.items(name, most) {
		all = append(all, newForm(each, names, f.code, f.hexadecimal))
	}
	return all
}

func (f form) integer(name string, least, most int64) int64 {
	value, ok := f.members[name].(int64)
	if !ok || value < least || value > most {
		refuse(f.code, "%s is not a number from %d to %d", name, least, most)
	}
	return value
}

func (f form) boolean(name string) bool {
	value, ok := f.members[name].(bool)
	if !ok {
		refuse(f.code, "%s is neither true nor false", name)
	}
	return value
}

func (f form) text(name string) string {
	value, ok := f.members[name].(string)
	if !ok {
		refuse(f.code, "%s is no text", name)
	}
	return value
}

// octets of exactly `length` bytes, or with length -1 of at most `most`.
func (f form) octets(name string, length, most int) []byte {
	return f.octetsOf(f.members[name], name, length, most)
}

func (f form) octetsList(name string, mostItems, length, most int) (all [][]byte) {
	for _, each := range f.items(name, mostItems) {
		all = append(all, f.octetsOf(each, name, length, most))
	}
	return all
}

func (f form) octetsOf(value any, name string, length, most int) []byte {
	content, ok := value.([]byte)
	if text, isText := value.(string); f.hexadecimal && isText && hexText.MatchString(text) {
		content, _ = hex.DecodeString(text[2:])
		ok = true
	}
	if !ok || (length < 0 && len(content) > most) || (length >= 0 && len(content) != length) {
		refuse(f.code, "%s is not bytes of the right number", name)
	}
	return content
}

// parseJSON takes one value; names stand once, numbers are integers.
func parseJSON(content []byte, code string) any {
	if !utf8.Valid(content) {
		refuse(code, "not UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	value, err := readJSON(decoder, 0)
	if err == nil {
		if _, more := decoder.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows")
		}
	}
	if err != nil {
		refuse(code, "not JSON of this form: %v", err)
	}
	return value
}

func readJSON(decoder *json.Decoder, depth int) (any, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	if depth > 50 {
		return nil, errors.New("nested too deeply")
	}
	switch found := token.(type) {
	case json.Number:
		return strconv.ParseInt(found.String(), 10, 64)
	case json.Delim:
		if found == '[' {
			list := []any{}
			for decoder.More() {
				value, err := readJSON(decoder, depth+1)
				if err != nil {
					return nil, err
				}
				list = append(list, value)
			}
			_, err = decoder.Token()
			return list, err
		}
		members := map[string]any{}
		for decoder.More() {
			name, err := decoder.Token()
			if err != nil {
				return nil, err
			}
			if _, twice := members[name.(string)]; twice {
				return nil, errors.New("a name stands twice")
			}
			if members[name.(string)], err = readJSON(decoder, depth+1); err != nil {
				return nil, err
			}
		}
		_, err = decoder.Token()
		return members, err
	}
	return token, nil
}

// canonicalJSON writes a parsed value with sorted names and no spaces (RFC 8785; all text here is plain ASCII).
func canonicalJSON(value any) []byte {
	encoded, err := json.Marshal(value) // sorts the names of maps
	if err != nil {
		refuse("malformed-trust", "cannot be written as JSON: %v", err)
	}
	return encoded
}

// parseCBOR takes one value in its shortest form. Source: RFC 8949 §4.2.1.
func parseCBOR(content []byte, code string) any {
	reader := cborReader{content, code}
	value := reader.value(0)
	if len(reader.rest) != 0 {
		refuse(code, "something follows the CBOR")
	}
	return value
}

type cborReader struct {
	rest []byte
	code string
}

func (r *cborReader) take(count uint64) []byte {
	if count > uint64(len(r.rest)) {
		refuse(r.code, "CBOR is cut short")
	}
	taken := r.rest[:count]
	r.rest = r.rest[count:]
	return taken
}

func (r *cborReader) value(depth int) any {
	if depth > 8 {
		refuse(r.code, "CBOR nests too deeply")
	}
	first := r.take(1)[0]
	if first == 0xf4 || first == 0xf5 {
		return first == 0xf5
	}
	argument := r.argument(first & 0x1f)
	switch first >> 5 {
	case 0:
		if argument < 1<<63 {
			return int64(argument)
		}
	case 2:
		return r.take(argument)
	case 3:
		if text := r.take(argument); utf8.Valid(text) {
			return string(text)
		}
	case 4:
		list := []any{}
		for ; argument > 0; argument-- {
			list = append(list, r.value(depth+1))
		}
		return list
	case 5:
		return r.members(argument, depth)
	}
	refuse(r.code, "CBOR of another form")
	return nil
}

func (r *cborReader) members(count uint64, depth int) map[string]any {
	members := map[string]any{}
	var before []byte
	for ; count > 0; count-- {
		start := r.rest
		name, ok := r.value(depth + 1).(string)
		encoded := start[:len(start)-len(r.rest)]
		if !ok || (before != nil && bytes.Compare(before, encoded) >= 0) {
			refuse(r.code, "CBOR names are not in order")
		}
		before = encoded
		members[name] = r.value(depth + 1)
	}
	return members
}

func (r *cborReader) argument(info byte) uint64 {
	if info < 24 {
		return uint64(info)
	}
	if info > 27 {
		refuse(r.code, "CBOR of another form")
	}
	size := uint64(1) << (info - 24)
	argument := uint64(0)
	for _, each := range r.take(size) {
		argument = argument<<8 | uint64(each)
	}
	if least := map[uint64]uint64{1: 24, 2: 1 << 8, 4: 1 << 16, 8: 1 << 32}[size]; argument < least {
		refuse(r.code, "CBOR is not in its shortest form")
	}
	return argument
}

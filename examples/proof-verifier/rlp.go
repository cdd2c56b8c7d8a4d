package main

import (
	"bytes"
	"math/big"
)

// item is one item of RLP: a string, or a list.
type item struct {
	text   []byte
	list   []item
	isList bool
}

// parseRLP takes canonical RLP of one item and nothing else. Source: Ethereum Yellow Paper, appendix B.
func parseRLP(encoded []byte, code, what string) item {
	found, rest, ok := takeItem(encoded, 0)
	if !ok || len(rest) != 0 {
		refuse(code, "%s is not canonical RLP", what)
	}
	return found
}

func parseList(encoded []byte, code, what string) []item {
	found := parseRLP(encoded, code, what)
	if !found.isList {
		refuse(code, "%s is not an RLP list", what)
	}
	return found.list
}

func takeItem(encoded []byte, depth int) (found item, rest []byte, ok bool) {
	if len(encoded) == 0 || depth > 200 {
		return item{}, nil, false
	}
	first := encoded[0]
	if first < 0x80 {
		return item{text: encoded[:1]}, encoded[1:], true
	}
	base := byte(0x80)
	if first >= 0xc0 {
		base = 0xc0
	}
	content, rest, ok := takeContent(encoded, first-base)
	if !ok {
		return item{}, nil, false
	}
	if base == 0x80 {
		// A byte below 0x80 is its own encoding.
		return item{text: content}, rest, !(len(content) == 1 && content[0] < 0x80)
	}
	found.isList = true
	for len(content) > 0 {
		var inner item
		if inner, content, ok = takeItem(content, depth+1); !ok {
			return item{}, nil, false
		}
		found.list = append(found.list, inner)
	}
	return found, rest, true
}

func takeContent(encoded []byte, code byte) (content, rest []byte, ok bool) {
	length, start := int(code), 1
	if code > 55 {
		size := int(code) - 55
		if size > 4 || len(encoded) < 1+size || encoded[1] == 0 {
			return nil, nil, false
		}
		length, start = 0, 1+size
		for _, each := range encoded[1:start] {
			length = length<<8 | int(each)
		}
		if length < 56 {
			return nil, nil, false
		}
	}
	if len(encoded)-start < length {
		return nil, nil, false
	}
	return encoded[start : start+length], encoded[start+length:], true
}

func number(found item, longest int, code, what string) *big.Int {
	if found.isList || len(found.text) > longest || (len(found.text) > 0 && found.text[0] == 0) {
		refuse(code, "%s is not an RLP integer of at most %d bytes", what, longest)
	}
	return new(big.Int).SetBytes(found.text)
}

func encodeText(content []byte) []byte {
	if len(content) == 1 && content[0] < 0x80 {
		return content
	}
	return append(prefix(0x80, len(content)), content...)
}

func encodeList(encoded ...[]byte) []byte {
	body := bytes.Join(encoded, nil)
	return append(prefix(0xc0, len(body)), body...)
}

func encodeItem(found item) []byte {
	if !found.isList {
		return encodeText(found.text)
	}
	inner := make([][]byte, len(found.list))
	for index, each := range found.list {
		inner[index] = encodeItem(each)
	}
	return encodeList(inner...)
}

func prefix(base byte, length int) []byte {
	if length < 56 {
		return []byte{base + byte(length)}
	}
	size := big.NewInt(int64(length)).Bytes()
	return append([]byte{base + 55 + byte(len(size))}, size...)
}

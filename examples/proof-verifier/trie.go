package main

import (
	"bytes"
	"encoding/hex"
	"math/big"
	"strings"

	"golang.org/x/crypto/sha3"
)

const maxNodeBytes = 1024

var emptyRoot = keccak([]byte{0x80})

func keccak(parts ...[]byte) []byte {
	hash := sha3.NewLegacyKeccak256()
	for _, part := range parts {
		hash.Write(part)
	}
	return hash.Sum(nil)
}

// nodeList holds trie nodes in the order in which walks first need them, each once.
type nodeList struct {
	nodes [][]byte
	next  int
	taken map[string][]byte
}

func newNodeList(nodes [][]byte) *nodeList { return &nodeList{nodes, 0, map[string][]byte{}} }

func (l *nodeList) take(digest []byte) []byte {
	if node, ok := l.taken[string(digest)]; ok {
		return node
	}
	if l.next == len(l.nodes) {
		refuse("incomplete-proof", "the walk runs out of nodes, which proves nothing")
	}
	node := l.nodes[l.next]
	if !bytes.Equal(keccak(node), digest) {
		refuse("wrong-node", "node %d is not the one that the walk needs", l.next)
	}
	l.next++
	l.taken[string(digest)] = node
	return node
}

func (l *nodeList) finish() {
	if l.next != len(l.nodes) {
		refuse("spare-node", "%d nodes are not needed", len(l.nodes)-l.next)
	}
}

// walk goes from a trusted root by keccak256 of the key: the leaf's value (nil: absent) and how it ended.
func walk(root, key []byte, nodes *nodeList) (value []byte, end string) {
	if bytes.Equal(root, emptyRoot) {
		return nil, "empty trie"
	}
	path := hex.EncodeToString(keccak(key))
	items := loadNode(root, nodes, true)
	for {
		var child item
		if len(items) == 17 {
			if path == "" {
				refuse("malformed-node", "a branch lies deeper than the key is long")
			}
			child, path = items[strings.IndexByte("0123456789abcdef", path[0])], path[1:]
			if !child.isList && len(child.text) == 0 {
				return nil, "empty branch slot"
			}
		} else {
			shared, isLeaf := parsePrefix(items[0])
			if isLeaf {
				if shared != path {
					return nil, "other leaf"
				}
				if items[1].isList || len(items[1].text) == 0 {
					refuse("malformed-node", "a leaf has no value")
				}
				return items[1].text, "leaf"
			}
			if !strings.HasPrefix(path, shared) {
				return nil, "diverging extension"
			}
			child, path = items[1], path[len(shared):]
		}
		items = followChild(child, nodes)
	}
}

func loadNode(digest []byte, nodes *nodeList, isRoot bool) []item {
	encoded := nodes.take(digest)
	if len(encoded) > maxNodeBytes || (len(encoded) < 32 && !isRoot) {
		refuse("malformed-node", "a node of %d bytes is named by its hash", len(encoded))
	}
	return checkNode(parseList(encoded, "malformed-node", "a trie node"))
}

func followChild(child item, nodes *nodeList) []item {
	if !child.isList {
		if len(child.text) != 32 {
			refuse("malformed-node", "a child is named by something that is no hash")
		}
		return loadNode(child.text, nodes, false)
	}
	if len(encodeItem(child)) >= 32 {
		refuse("malformed-node", "a node holds a child that belongs behind its hash")
	}
	return checkNode(child.list)
}

func checkNode(items []item) []item {
	if len(items) != 2 && len(items) != 17 {
		refuse("malformed-node", "a node has %d items", len(items))
	}
	if len(items) == 17 && (items[16].isList || len(items[16].text) != 0) {
		refuse("malformed-node", "a branch has a value")
	}
	return items
}

func parsePrefix(found item) (nibbles string, isLeaf bool) {
	if found.isList || len(found.text) == 0 || found.text[0] > 0x3f || (found.text[0]&0x10 == 0 && found.text[0]&0x0f != 0) {
		refuse("malformed-node", "a path is not in compact form")
	}
	digits, isLeaf := hex.EncodeToString(found.text), found.text[0]&0x20 != 0
	if nibbles = digits[2:]; found.text[0]&0x10 != 0 {
		nibbles = digits[1:]
	}
	if nibbles == "" && !isLeaf {
		refuse("malformed-node", "an extension goes nowhere")
	}
	return nibbles, isLeaf
}

type account struct{ storageRoot, codeHash []byte }

// proveContract is the account at this address, if it has the pinned code.
func proveContract(stateRoot, address, codeHash []byte, nodes *nodeList) account {
	leaf, _ := walk(stateRoot, address, nodes)
	if leaf == nil {
		refuse("no-contract", "nothing stands at 0x%x", address)
	}
	fields := parseList(leaf, "malformed-node", "an account's leaf")
	if len(fields) != 4 || len(fields[2].text) != 32 || len(fields[3].text) != 32 {
		refuse("malformed-node", "an account's leaf is not nonce, balance and two hashes")
	}
	number(fields[0], 8, "malformed-node", "an account's nonce")
	number(fields[1], 32, "malformed-node", "an account's balance")
	found := account{fields[2].text, fields[3].text}
	if bytes.Equal(found.codeHash, keccak()) {
		refuse("no-contract", "nothing stands at 0x%x", address)
	}
	if !bytes.Equal(found.codeHash, codeHash) {
		refuse("other-contract", "0x%x has other code than the trust file pins", address)
	}
	return found
}

// proveWord is the word of a storage slot; 0 where there is none.
func proveWord(storageRoot []byte, slot *big.Int, nodes *nodeList) *big.Int {
	leaf, _ := walk(storageRoot, word32(slot), nodes)
	if leaf == nil {
		return new(big.Int)
	}
	return number(parseRLP(leaf, "malformed-node", "a storage leaf"), 32, "malformed-node", "a storage leaf")
}

func word32(value *big.Int) []byte { return value.FillBytes(make([]byte, 32)) }

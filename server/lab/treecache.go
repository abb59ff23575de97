package lab

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A stamp tells whether a file is still the one of the image: the kernel gives
// no way to set a change time, and a file that a server has changed in any way
// has its own.
type stamp struct {
	Size, Changed int64 // bytes; nanoseconds since 1970
}

func stampOf(st *unix.Stat_t) stamp {
	return stamp{Size: st.Size, Changed: changed(st)}
}

// An imageNode is a node as the image has it.
type imageNode struct {
	Stamp stamp
	Node  Node
}

// imageNodes are the nodes of an image, so that a server's tree needs to read
// only what the server has changed. They are kept beside the image from their
// first use on.
func imageNodes(ctx context.Context, image string) (map[string]imageNode, error) {
	path := filepath.Join(image, "nodes.gob")
	data, err := os.ReadFile(path)
	var nodes map[string]imageNode
	if err == nil && gob.NewDecoder(bytes.NewReader(data)).Decode(&nodes) == nil {
		return nodes, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("tree of the image: %w", err)
	}
	if nodes, err = readNodes(ctx, imageRoot(image), nil); err != nil {
		return nil, fmt.Errorf("tree of the image: %w", err)
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(nodes); err != nil {
		return nil, fmt.Errorf("tree of the image: %w", err)
	}
	// Several processes may do this at once, each with a draft of its own.
	draft, err := os.CreateTemp(image, ".nodes-")
	if err != nil {
		return nil, fmt.Errorf("tree of the image: %w", err)
	}
	defer os.Remove(draft.Name())
	_, err = draft.Write(b.Bytes())
	if err := errors.Join(err, draft.Close()); err != nil {
		return nil, fmt.Errorf("tree of the image: %w", err)
	}
	if err := os.Rename(draft.Name(), path); err != nil {
		return nil, fmt.Errorf("tree of the image: %w", err)
	}
	return nodes, nil
}

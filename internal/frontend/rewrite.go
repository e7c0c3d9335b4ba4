package frontend

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// rewrite returns def with the settings applied to each step that runs a command and has
// a network. Operations are named by their digest, so that all that follow a changed one
// change as well, and everything that names them.
func (s Settings) rewrite(def *pb.Definition, p proxy) (*pb.Definition, error) {
	out := &pb.Definition{Def: make([][]byte, 0, len(def.Def)), Metadata: map[string]*pb.OpMetadata{}}
	renamed := map[string]string{}
	for _, old := range def.Def {
		data, err := s.rewriteOp(old, renamed, p)
		if err != nil {
			return nil, err
		}
		from, to := digest.FromBytes(old).String(), digest.FromBytes(data).String()
		renamed[from] = to
		out.Def = append(out.Def, data)
		if m, ok := def.Metadata[from]; ok {
			out.Metadata[to] = m
		}
	}
	if def.Source != nil {
		out.Source = &pb.Source{Infos: def.Source.Infos, Locations: map[string]*pb.Locations{}}
		for from, l := range def.Source.Locations {
			out.Source.Locations[rename(renamed, from)] = l
		}
	}
	return out, nil
}

// rewriteOp returns the bytes of one operation, the same bytes if nothing changes.
func (s Settings) rewriteOp(data []byte, renamed map[string]string, p proxy) ([]byte, error) {
	var op pb.Op
	if err := proto.Unmarshal(data, &op); err != nil {
		return nil, fmt.Errorf("operation of the build definition: %w", err)
	}
	changed := false
	for _, in := range op.Inputs {
		if to := rename(renamed, in.Digest); to != in.Digest {
			in.Digest, changed = to, true
		}
	}
	if exec := op.GetExec(); exec != nil && exec.Meta != nil && exec.Network != pb.NetMode_NONE && op.GetPlatform().GetOS() != "windows" {
		s.apply(exec, p)
		changed = true
	}
	if !changed {
		if op.GetSource() != nil && !p.secrets {
			return inFieldOrder(data), nil
		}
		return data, nil
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(&op)
	if err != nil {
		return nil, fmt.Errorf("operation of the build definition: %w", err)
	}
	return data, nil
}

// inFieldOrder returns an encoded message with its fields sorted by their number, as
// BuildKit wrote them before 0.9. Operations are the same if their bytes are, and such an
// engine must see that its own frontend has fetched the build context already: a context
// that was given by standard input can be fetched once only.
func inFieldOrder(data []byte) []byte {
	type field struct {
		number protowire.Number
		data   []byte
	}
	var fields []field
	for rest := data; len(rest) > 0; {
		number, _, n := protowire.ConsumeField(rest)
		if n < 0 {
			return data
		}
		fields = append(fields, field{number, rest[:n]})
		rest = rest[n:]
	}
	slices.SortStableFunc(fields, func(a, b field) int { return cmp.Compare(a.number, b.number) })
	out := make([]byte, 0, len(data))
	for _, f := range fields {
		out = append(out, f.data...)
	}
	return out
}

func rename(renamed map[string]string, d string) string {
	if to, ok := renamed[d]; ok {
		return to
	}
	return d
}

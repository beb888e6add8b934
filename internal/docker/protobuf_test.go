package docker

import (
	"bytes"
	"errors"
	"testing"
)

func TestProtobufFields(t *testing.T) {
	msg := pbAppendBytes(nil, 1, []byte("sha256:ab"))
	msg = pbAppendInt(msg, 2, 1<<40)
	msg = append(msg, 3<<3|wireFixed8, 1, 2, 3, 4, 5, 6, 7, 8)
	msg = append(msg, 4<<3|wireFixed4, 1, 2, 3, 4)
	msg = pbAppendBytes(msg, 1000, nil)
	var got []pbField
	if err := pbEach(msg, func(f pbField) error { got = append(got, f); return nil }); err != nil {
		t.Fatal(err)
	}
	want := []pbField{
		{num: 1, kind: wireBytes, bytes: []byte("sha256:ab")},
		{num: 2, kind: wireVarint, value: 1 << 40},
		{num: 3, kind: wireFixed8, bytes: []byte{1, 2, 3, 4, 5, 6, 7, 8}},
		{num: 4, kind: wireFixed4, bytes: []byte{1, 2, 3, 4}},
		{num: 1000, kind: wireBytes},
	}
	if len(got) != len(want) {
		t.Fatalf("%d fields, want %d", len(got), len(want))
	}
	for i, w := range want {
		if g := got[i]; g.num != w.num || g.kind != w.kind || g.value != w.value || !bytes.Equal(g.bytes, w.bytes) {
			t.Errorf("field %d: %+v, want %+v", i, g, w)
		}
	}
	if b := pbAppendInt(nil, 2, 0); len(b) != 0 {
		t.Errorf("zero is written as % x", b)
	}
}

func TestProtobufRefuses(t *testing.T) {
	for name, msg := range map[string][]byte{
		"tag without value":      {1 << 3},
		"endless number":         bytes.Repeat([]byte{0xff}, 11),
		"number cut short":       {1 << 3, 0x80},
		"bytes cut short":        {1<<3 | wireBytes, 5, 'a'},
		"length beyond memory":   {1<<3 | wireBytes, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
		"fixed cut short":        {1<<3 | wireFixed8, 1},
		"group":                  {1<<3 | 3},
		"field number zero":      {0, 1},
		"field number too large": {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 1},
	} {
		if err := pbEach(msg, func(pbField) error { return nil }); !errors.Is(err, errProtobuf) {
			t.Errorf("%s: %v, want errProtobuf", name, err)
		}
	}
}

func FuzzProtobuf(f *testing.F) {
	f.Add(contentMessage("sha256:ab", 7, map[string]string{"k": "v"}))
	f.Add([]byte{1<<3 | wireBytes, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Add(pbAppendBytes(pbAppendInt(nil, 1, 5), 2, []byte("data")))
	f.Fuzz(func(t *testing.T, msg []byte) {
		total := 0
		err := pbEach(msg, func(f pbField) error { total += len(f.bytes); return nil })
		if total > len(msg) {
			t.Fatalf("%d bytes of fields in a message of %d", total, len(msg))
		}
		list, lerr := appendContents(nil, msg)
		if lerr != nil && list != nil || err != nil && lerr == nil {
			t.Fatalf("list %v, error %v; message error %v", list, lerr, err)
		}
		for _, c := range list {
			if c.Digest == "" || c.Size < 0 {
				t.Fatalf("accepted %+v", c)
			}
		}
		if offset, data, err := parseRead(msg); err != nil && (offset != 0 || data != nil) {
			t.Fatalf("read %d %q with error %v", offset, data, err)
		}
	})
}

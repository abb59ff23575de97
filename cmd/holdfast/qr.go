package main

import (
	"fmt"
	"strings"

	"rsc.io/qr"
)

// quiet is the white border that readers of QR codes need, in dots (ISO/IEC
// 18004, 5.3.8).
const quiet = 4

// drawQR draws a QR code with half blocks, two dots a letter. It sets both colours
// itself, because a code that a dark terminal turns round is not read by all apps.
func drawQR(text string) (string, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return "", fmt.Errorf("drawing the QR code: %w", err)
	}
	var b strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		b.WriteString("\x1b[30;47m")
		for x := -quiet; x < code.Size+quiet; x++ {
			b.WriteString(half(code.Black(x, y), code.Black(x, y+1)))
		}
		b.WriteString("\x1b[0m\n")
	}
	return b.String(), nil
}

// half is a letter whose upper and lower half are black or not.
func half(upper, lower bool) string {
	switch {
	case upper && lower:
		return "█"
	case upper:
		return "▀"
	case lower:
		return "▄"
	}
	return " "
}

package lab

import "path/filepath"

// Names for what a test looks for after a lab is down.

var ParseMountInfo = parseMountInfo

func (p mountPoint) String() string { return p.path + " " + p.kind }

func (l *Lab) Dir() string        { return l.dir }
func (l *Lab) Mounts() string     { return l.mounts() }
func (l *Lab) DeskLink() string   { return deskLink(l.state.Number) }
func (l *Lab) SwitchPath() string { return l.switchPath() }
func (l *Lab) Pids() ([]int, error) {
	return group(l.ID()).pids()
}
func (l *Lab) Groups() []string {
	_, all, err := hierarchies()
	if err != nil {
		panic(err)
	}
	for i := range all {
		all[i] = filepath.Join(all[i], groupRoot, l.ID())
	}
	return all
}
func (s *Server) Machine() string  { return s.machine() }
func (s *Server) LayerDir() string { return s.layer() }

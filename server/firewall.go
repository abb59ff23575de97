package server

// A Filter says who filters a server's packets (guide 3.11).
type Filter string

// The filters.
const (
	// FilterHoldfast is a table of ours. It refuses to work beside another
	// firewall, because two that do not know of each other are never as either
	// of them says. The empty Filter is the same.
	FilterHoldfast Filter = "holdfast"
	// FilterTakeOver is a table of ours that takes the place of another firewall.
	FilterTakeOver Filter = "take-over"
	// FilterProvider leaves filtering to the hosting provider.
	FilterProvider Filter = "provider"
)

// A Firewall is what a server has to know of the site to filter its packets
// (guide 3.11). Addresses and networks are in the notation of [net/netip]. Its
// zero value admits SSH, from anywhere, and nothing else.
type Firewall struct {
	Filter Filter `json:"filter,omitempty"`
	// AdminNetworks are where SSH may come from; empty means from anywhere.
	AdminNetworks []string `json:"admin_networks,omitempty"`
	// Direct says that the desk reaches this server without a jump host.
	Direct bool `json:"direct,omitempty"`
	// Jump are the addresses of the jump host.
	Jump []string `json:"jump,omitempty"`
	// Applications and Databases are the addresses under which the servers with
	// these roles are seen by this one, itself not among them.
	Applications []string `json:"applications,omitempty"`
	Databases    []string `json:"databases,omitempty"`
	// Servers are all addresses of all other servers of the site.
	Servers []string `json:"servers,omitempty"`
	// ApplicationPorts are open on application servers, DatabasePorts on database
	// servers to application servers; both are TCP ports.
	ApplicationPorts []int `json:"application_ports,omitempty"`
	DatabasePorts    []int `json:"database_ports,omitempty"`
	// Redirects lead to another port of the same application server.
	Redirects []Redirect `json:"redirects,omitempty"`
	// Rules admit more.
	Rules []PacketRule `json:"rules,omitempty"`
	// Egress, if Confined, are the only connections that the server may open,
	// besides those to servers of the site.
	Confined bool         `json:"confined,omitempty"`
	Egress   []PacketRule `json:"egress,omitempty"`
}

// A Redirect gives what arrives at one TCP port to another.
type Redirect struct {
	From int `json:"from"`
	To   int `json:"to"`
}

// A PacketRule admits new connections.
type PacketRule struct {
	// Protocol is "tcp" or "udp".
	Protocol string `json:"protocol"`
	// First and Last are the range of ports, 1 to 65535.
	First int `json:"first"`
	Last  int `json:"last"`
	// Peers are addresses and networks on the other end; empty means anywhere.
	Peers []string `json:"peers,omitempty"`
}

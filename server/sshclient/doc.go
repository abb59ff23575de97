// Package sshclient makes plain ssh reach the servers of a site by their names,
// through their jump hosts (guide 3.8).
//
// A [Site] is what the operator's ssh is told; [Site.Text] is the file that says
// so, and [Install] puts it below the directory of the operator's own
// configuration, which gets one Include line on top and is otherwise not
// touched: on top, because ssh takes the first value that it reads, and because
// an Include further down would belong to the Host block that it stands in.
//
// Every file is tested with the ssh that is installed before it takes its place.
// If ssh cannot read what it would find, or would not go where it should,
// Install fails and leaves the operator's configuration as it is.
package sshclient

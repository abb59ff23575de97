// Package report is what an audit found, for people and for programs: as text for
// a terminal ([Text]), as JSON ([JSON]), as SARIF 2.1.0 ([SARIF]), as JUnit
// ([JUnit]), and as one page of HTML ([HTML]) that a manager can read and an
// auditor can use.
//
// Everything in a [Report] is plain data, and nothing is judged here: verdicts
// come from [server.Audit], reasons and identifiers from the controls. What is
// counted is the same in every form: of a section's controls those that pass,
// out of all that were not switched off on purpose.
//
// What a probe finds has the shape of a [server.Result], too, so that it can stand
// beside what an audit found.
//
// What a server says is not trusted. [New] takes the terminal escapes out of
// every string once more, and each printer escapes for its own form. The page of
// HTML has neither scripts nor anything to load, and says so to the browser, so
// that evidence that an attacker has written stays text.
//
// The identifiers of public benchmarks are those of the controls: benchmark,
// version and number. Where a control has none, none is shown.
//
// If something cannot be written, the printer returns the writer's error and
// what was written so far is of no use.
package report

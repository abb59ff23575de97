// Command loginbench measures what package login promises, on a program that
// answers over HTTP in a process of its own, with each store:
//
//   - timing: whether refusals of different kinds can be told apart by their time,
//     warm and just after a start;
//   - flood: how many logins it serves to 64 clients at once beside the raw speed
//     of Argon2id on this machine, and how much memory that takes;
//   - full: how fast a full queue refuses.
//
// The script bench/login/run builds and runs it; its flags are listed by -h. It
// prints one table. A missed target is printed as MISSED, and a timing run that
// would not have seen a planted gap of 1 ms as too noisy: neither passed nor missed.
//
// If something cannot be measured, the exit status is 1.
package main

// Package prometheus holds the alerting rules, and the tests that hold rules, runbook,
// dashboard and metrics together.
package prometheus

package journal

import (
	"context"
	"log/slog"
	"slices"
)

// An Event is a kind of change in the world. Its ID is the MESSAGE_ID of its
// entries in the journal (sd-id128(3), 32 hex digits) and never changes:
// searches, alerts and the message catalog name it.
type Event struct {
	Name  string
	ID    string
	Level slog.Level
}

// The events, roughly in the order in which they happen to a new installation.
var (
	Started           = Event{"started", "274ba40fae1e4f75a250da3f56ba209b", slog.LevelInfo}
	Stopped           = Event{"stopped", "c5060362b50247d79e3b230e4a0fafb8", slog.LevelInfo}
	WaitingForFirst   = Event{"waiting-for-first-certificate", "808dc76f8083435d89f13081461758f4", slog.LevelWarn}
	Issued            = Event{"issued", "8053ef9eab4345b5ad24fa13d32fd8ec", LevelNotice}
	IssueFailed       = Event{"issue-failed", "b0a31e3ad57f4678a44fe67c9d5c1e36", slog.LevelError}
	GateRefused       = Event{"gate-refused", "5864a3f2c23548f8849283bb1d1af347", slog.LevelError}
	Loaded            = Event{"loaded", "db91b0b04fd5407b8239883f5d89a4e1", LevelNotice}
	ReloadFailed      = Event{"reload-failed", "1e6a64de90964606a5700649d125f29a", slog.LevelError}
	ServerDown        = Event{"server-down", "70040390a5534f2fb0f9787c49cd0825", slog.LevelWarn}
	RolledBack        = Event{"rolled-back", "11fcefa793914e2488d220e7bf312520", slog.LevelWarn}
	Adopted           = Event{"adopted", "03d48209b38a4748b635be3c1f6cb6bb", LevelNotice}
	ForeignBad        = Event{"foreign-bad", "017abd56e1364500bdf5983adc14d227", slog.LevelError}
	ExpiredRecovery   = Event{"expired-recovery", "7ecb2178b40f4b2dbab45dd0e8a72fc8", slog.LevelWarn}
	VerificationSkip  = Event{"verification-skipped", "498c0150a2ab4456a8056e26ba38d156", slog.LevelWarn}
	ClockHeld         = Event{"clock-held", "c42eb1fe0745474e9557603d5802288e", slog.LevelWarn}
	ClocksDiffer      = Event{"clocks-differ", "02e563d73b4d482b8adf13d2eb8930d3", slog.LevelError}
	ServerFound       = Event{"server-found", "8a70dc9fb44e469083df2cbb52d995f8", slog.LevelInfo}
	ConfigReloaded    = Event{"configuration-reloaded", "8d5e615319104ff7bdb85b135ac5b921", slog.LevelInfo}
	ConfigRefused     = Event{"configuration-refused", "485f4cec8d3841e9903b7d79df3940ee", slog.LevelError}
	WindowMoved       = Event{"renewal-window-moved", "576c77a3d67d4934bfe88c60f5bf8987", slog.LevelWarn}
	Expiring          = Event{"expiring", "a36c7ee42002441a96387f91b2e30b98", slog.LevelWarn}
	Notified          = Event{"notified", "ffde48965378491ba4cb3852c99806cf", slog.LevelInfo}
	NotifyFailed      = Event{"notify-failed", "ca8e732cb1424b07b315da6f0cf4805e", slog.LevelWarn}
	AnotherRenewer    = Event{"another-renewer", "609aafa2d6ef4461ae8a7acaef3816ac", slog.LevelWarn}
	RehearsalFailed   = Event{"rehearsal-failed", "0540b27b977c4e149cf8391af5b9e260", slog.LevelWarn}
	RootAdded         = Event{"root-added", "7a61ed348f2a41f8b793459df1984d88", LevelNotice}
	RootsLoaded       = Event{"roots-loaded", "8713bbc5636444a38db997195723ae76", LevelNotice}
	RootLeft          = Event{"root-left", "7a167ccaff56458db3a45ba71ab669dd", LevelNotice}
	KeysGivenUp       = Event{"keys-given-up", "479a49c62e974a48bd7af08898f568f2", LevelNotice}
	Revoked           = Event{"revoked", "144e92ccb7fc4c9e8a2ece63c8f51cd5", LevelNotice}
	RevokeFailed      = Event{"revoke-failed", "171d79728e284db88fe83ddd2659d174", slog.LevelError}
	KeysDestroyed     = Event{"keys-destroyed", "d29b0c0d7ee24f6da1521b2f337f125f", LevelNotice}
	RenewalRequested  = Event{"renewal-requested", "efb10e35fdd3484980282ccbb51d4bc9", slog.LevelInfo}
	SentinelRestarted = Event{"sentinel-restarted", "c19c3d0709984808bf31dd97be6fef85", LevelNotice}
	SentinelHeld      = Event{"sentinel-held", "67e181c345d64be4a9a61688ea4ab71c", slog.LevelWarn}
)

// Events returns all events, for the message catalog and its check.
func Events() []Event {
	return []Event{
		Started, Stopped, WaitingForFirst, Issued, IssueFailed, GateRefused, Loaded, ReloadFailed, ServerDown, RolledBack,
		Adopted, ForeignBad, ExpiredRecovery, VerificationSkip, ClockHeld, ClocksDiffer, ServerFound, ConfigReloaded, ConfigRefused,
		RenewalRequested, AnotherRenewer, RehearsalFailed, RootAdded, RootsLoaded, RootLeft, SentinelRestarted, SentinelHeld, WindowMoved, Expiring, Notified, NotifyFailed,
		KeysGivenUp, Revoked, RevokeFailed, KeysDestroyed,
	}
}

// Log writes one entry. The message must be readable without the attributes.
func (e Event) Log(ctx context.Context, l *slog.Logger, msg string, attrs ...slog.Attr) {
	l.LogAttrs(ctx, e.Level, msg, slices.Concat(attrs, []slog.Attr{slog.String(KeyMessageID, e.ID)})...)
}

// Package unit asks systemd about one unit, and has it restarted, over D-Bus.
//
// It does so for programs that read their certificate only when they start. The right to
// it comes from a rule of polkit that an administrator puts there; without one systemd
// refuses, and the error says which rule is missing.
package unit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
)

// A Unit is a service of systemd.
type Unit struct {
	Name string // with its ending

	bus string // its address in tests; empty: the system's
}

// New returns the service of that name, to which .service is added where it has no ending.
func New(name string) *Unit {
	if !strings.HasSuffix(name, ".service") {
		name += ".service"
	}
	return &Unit{Name: name}
}

// State is what systemd says of a unit.
type State struct {
	Active string // active, inactive, failed, activating, …
	File   string // enabled, disabled, masked, static, …
	PID    int    // of its main process; 0: none
}

// LeftAlone says why nobody is to restart the unit; empty where one may.
func (s State) LeftAlone() string {
	switch {
	case s.Active == "inactive" || s.Active == "deactivating":
		return "it is stopped, and left alone"
	case s.Active == "activating" || s.Active == "reloading":
		return "it is starting"
	case s.Active != "active":
		return "it is " + s.Active + ", and left to a person"
	case slices.Contains([]string{"disabled", "masked", "masked-runtime"}, s.File):
		return "it runs and is " + s.File + ": it is left alone until it is enabled"
	}
	return ""
}

const (
	destination = "org.freedesktop.systemd1"
	manager     = destination + ".Manager"
	unitOf      = destination + ".Unit"
	serviceOf   = destination + ".Service"
)

// dial returns a connection of its own, which the caller closes.
func (u *Unit) dial(ctx context.Context) (*dbus.Conn, error) {
	var conn *dbus.Conn
	var err error
	if u.bus != "" {
		conn, err = dbus.Dial(u.bus, dbus.WithContext(ctx))
	} else {
		conn, err = dbus.SystemBusPrivate(dbus.WithContext(ctx))
	}
	if err != nil {
		return nil, err
	}
	if err = conn.Auth(nil); err == nil {
		err = conn.Hello()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (u *Unit) call(ctx context.Context, work func(systemd *dbus.Conn) error) error {
	conn, err := u.dial(ctx)
	if err != nil {
		return fmt.Errorf("ask systemd about %s: the system's D-Bus: %w", u.Name, err)
	}
	defer conn.Close()
	return u.explain(work(conn))
}

// Look asks for the state of the unit.
func (u *Unit) Look(ctx context.Context) (State, error) {
	var s State
	err := u.call(ctx, func(conn *dbus.Conn) error {
		var path dbus.ObjectPath
		if err := conn.Object(destination, "/org/freedesktop/systemd1").CallWithContext(ctx, manager+".LoadUnit", 0, u.Name).Store(&path); err != nil {
			return err
		}
		object := conn.Object(destination, path)
		get := func(from, name string) (any, error) {
			var v dbus.Variant
			err := object.CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, from, name).Store(&v)
			return v.Value(), err
		}
		load, err := get(unitOf, "LoadState")
		if err == nil && load == "not-found" {
			return errors.New("there is no such unit: name the one that runs the Sentinel as restart")
		}
		active, err1 := get(unitOf, "ActiveState")
		file, err2 := get(unitOf, "UnitFileState")
		pid, err3 := get(serviceOf, "MainPID")
		s.Active, _ = active.(string)
		s.File, _ = file.(string)
		n, _ := pid.(uint32)
		s.PID = int(n)
		return errors.Join(err, err1, err2, err3)
	})
	return s, err
}

// Restart has the unit restarted and does not wait for that.
func (u *Unit) Restart(ctx context.Context) error {
	return u.call(ctx, func(conn *dbus.Conn) error {
		return conn.Object(destination, "/org/freedesktop/systemd1").CallWithContext(ctx, manager+".RestartUnit", 0, u.Name, "replace").Err
	})
}

// explain says which right is missing, where one is.
func (u *Unit) explain(err error) error {
	var refused dbus.Error
	if err == nil || !errors.As(err, &refused) {
		if err != nil {
			err = fmt.Errorf("systemd, %s: %w", u.Name, err)
		}
		return err
	}
	switch refused.Name {
	case "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", "org.freedesktop.DBus.Error.AccessDenied", "org.freedesktop.PolicyKit1.Error.NotAuthorized":
		return fmt.Errorf("systemd, %s: the agent may not restart it (%s): allow it by a rule of polkit: "+
			"edit /usr/share/doc/redis-cert-agent/examples/sentinel.rules, and put it into /etc/polkit-1/rules.d", u.Name, refused.Name)
	}
	return fmt.Errorf("systemd, %s: %w", u.Name, err)
}

package main

import (
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	persistencespb "go.temporal.io/server/api/persistence/v1"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/persistence"
	"go.temporal.io/server/common/persistence/serialization"
	"go.temporal.io/server/common/persistence/sql"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/common/resolver"
	"go.temporal.io/server/common/searchattribute/sadefs"
	sqliteschema "go.temporal.io/server/schema/sqlite"
	"google.golang.org/protobuf/types/known/durationpb"
)

// retention is how long closed workflows stay in namespaces made here.
const retention = 30 * 24 * time.Hour

// defaultPragmas are as quick as memory and survive kill -9 (a power cut may
// lose the last moments, never the file). The exclusive lock keeps a second
// server away from the file; the kernel drops it when the process ends.
var defaultPragmas = map[string]string{
	"journal_mode": "wal",
	"synchronous":  "normal",
	"busy_timeout": "2000",
	"locking_mode": "exclusive",
}

// openDatabase returns the store's configuration after making sure that it has
// a schema, the namespaces and their search attributes.
func openDatabase(o *options) (*config.SQL, error) {
	conf := &config.SQL{PluginName: sqlite.PluginName, ConnectAttributes: map[string]string{}}
	if o.dbFile == "" {
		conf.DatabaseName = strconv.Itoa(rand.IntN(1e9))
		maps.Copy(conf.ConnectAttributes, o.sqlitePragmas)
		maps.Copy(conf.ConnectAttributes, map[string]string{"mode": "memory", "cache": "shared"})
	} else {
		if err := checkFolder(o.dbFile); err != nil {
			return nil, err
		}
		conf.DatabaseName = escapePath(o.dbFile)
		maps.Copy(conf.ConnectAttributes, defaultPragmas)
		maps.Copy(conf.ConnectAttributes, o.sqlitePragmas)
		conf.ConnectAttributes["mode"] = "rwc"
		if err := setupFile(conf); err != nil {
			return nil, explain(o.dbFile, err)
		}
	}
	db, err := sql.NewSQLDB(sqlplugin.DbKindUnknown, conf, resolver.NewNoopResolver(),
		log.NewNoopLogger(), metrics.NoopMetricsHandler)
	if err != nil {
		return nil, explain(o.dbFile, err)
	}
	defer db.Close()
	for _, name := range o.namespaces {
		if err := setupNamespace(db, name, o.searchAttributes); err != nil {
			return nil, fmt.Errorf("namespace %q: %w", name, err)
		}
	}
	return conf, nil
}

func checkFolder(file string) error {
	folder := filepath.Dir(file)
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return fmt.Errorf("--db-filename %s: there is no folder %s", file, folder)
	}
	return nil
}

// escapePath makes a file name safe inside the SQLite URI that it becomes part of.
func escapePath(file string) string {
	return strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(file)
}

func explain(file string, err error) error {
	switch text := err.Error(); {
	case strings.Contains(text, "database is locked"):
		return fmt.Errorf("%s is in use by another server", file)
	case strings.Contains(text, "not a database"):
		return fmt.Errorf("%s is not a SQLite database: move it away or name another with --db-filename", file)
	}
	return fmt.Errorf("cannot open %s: %w", file, err)
}

// setupFile creates the schema in a file that has none, in one transaction: a
// server killed while doing so leaves an empty file, not half a schema.
func setupFile(conf *config.SQL) error {
	uri := fmt.Sprintf("file:%s?mode=rwc", conf.DatabaseName)
	for _, name := range []string{"busy_timeout", "journal_mode", "synchronous"} {
		uri += fmt.Sprintf("&_pragma=%s=%s", name, conf.ConnectAttributes[name])
	}
	db, err := stdsql.Open(sqlite.PluginName, uri)
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	var tables int
	const existing = "SELECT count(*) FROM sqlite_master WHERE name = 'namespaces'"
	if err := tx.QueryRow(existing).Scan(&tables); err != nil || tables > 0 {
		return err
	}
	if err := sqliteschema.SetupSchemaOnDB(schemaWriter{tx: tx}); err != nil {
		return err
	}
	return tx.Commit()
}

// schemaWriter lends a transaction to SetupSchemaOnDB, which only calls Exec.
type schemaWriter struct {
	sqlplugin.AdminDB
	tx *stdsql.Tx
}

func (w schemaWriter) Exec(statement string, args ...any) error {
	_, err := w.tx.Exec(statement, args...)
	return err
}

// setupNamespace creates a namespace, or adds the missing search attributes to
// one that exists.
func setupNamespace(
	db sqlplugin.DB, name string, attributes map[string]enums.IndexedValueType,
) error {
	ctx := context.Background()
	rows, err := db.SelectFromNamespace(ctx, sqlplugin.NamespaceFilter{Name: &name})
	if err != nil && !errors.Is(err, stdsql.ErrNoRows) {
		return err
	}
	if len(rows) == 0 {
		detail, err := newNamespace(name, attributes)
		if err != nil {
			return err
		}
		row := sqlplugin.NamespaceRow{ID: primitives.MustParseUUID(detail.Info.Id), Name: name}
		if err := encode(detail, &row); err != nil {
			return err
		}
		_, err = db.InsertIntoNamespace(ctx, &row)
		return err
	}
	row := rows[0]
	blob := persistence.NewDataBlob(row.Data, row.DataEncoding)
	detail, err := serialization.NewSerializer().NamespaceDetailFromBlob(blob)
	if err != nil {
		return err
	}
	aliases, err := assignFields(detail.Config.CustomSearchAttributeAliases, attributes)
	if err != nil || maps.Equal(aliases, detail.Config.CustomSearchAttributeAliases) {
		return err
	}
	detail.Config.CustomSearchAttributeAliases = aliases
	if err := encode(detail, &row); err != nil {
		return err
	}
	_, err = db.UpdateNamespace(ctx, &row)
	return err
}

func newNamespace(
	name string, attributes map[string]enums.IndexedValueType,
) (*persistencespb.NamespaceDetail, error) {
	made, err := sqliteschema.NewNamespaceConfig(clusterName, name, false, nil)
	if err != nil {
		return nil, err
	}
	made.Detail.Config.Retention = durationpb.New(retention)
	made.Detail.Config.CustomSearchAttributeAliases, err = assignFields(nil, attributes)
	return made.Detail, err
}

func encode(detail *persistencespb.NamespaceDetail, row *sqlplugin.NamespaceRow) error {
	blob, err := serialization.NewSerializer().NamespaceDetailToBlob(detail)
	if err == nil {
		row.Data, row.DataEncoding = blob.GetData(), blob.GetEncodingType().String()
	}
	return err
}

// assignFields gives each new attribute a free column of its type, and returns
// a map from column (Keyword01, Int02, …) to attribute.
func assignFields(
	existing map[string]string, attributes map[string]enums.IndexedValueType,
) (map[string]string, error) {
	aliases := map[string]string{}
	maps.Copy(aliases, existing)
	types := sadefs.GetDBIndexSearchAttributes(nil).CustomSearchAttributes
	taken := map[string]string{}
	for column, name := range aliases {
		taken[name] = column
	}
	columns := slices.Sorted(maps.Keys(types))
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		kind := attributes[name]
		if column, known := taken[name]; known {
			if types[column] != kind {
				return nil, fmt.Errorf("search attribute %s is a %s here, not a %s",
					name, types[column], kind)
			}
			continue
		}
		free := slices.IndexFunc(columns, func(column string) bool {
			return types[column] == kind && aliases[column] == ""
		})
		if free < 0 {
			return nil, fmt.Errorf("no column is left for search attribute %s: "+
				"SQLite has few of type %s", name, kind)
		}
		aliases[columns[free]] = name
	}
	return aliases, nil
}

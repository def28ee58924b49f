package main

import (
	"os"

	"go.temporal.io/server/common/log"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// logging is the server's log, on standard error.
type logging struct {
	logger log.Logger
	level  zap.AtomicLevel
}

func newLogging(o *options) logging {
	level := zap.NewAtomicLevelAt(zapcore.FatalLevel)
	if o.logLevel != "never" {
		_ = level.UnmarshalText([]byte(o.logLevel)) // checked by options.validate
	}
	entry := zap.NewProductionEncoderConfig()
	entry.EncodeTime = zapcore.ISO8601TimeEncoder
	encoder := zapcore.NewConsoleEncoder(entry)
	if o.logFormat == "json" {
		encoder = zapcore.NewJSONEncoder(entry)
	}
	core := zapcore.NewCore(encoder, zapcore.Lock(os.Stderr), level)
	return logging{logger: log.NewZapLogger(zap.New(core)), level: level}
}

// quiet leaves only fatal errors, unless everything was asked for.
func (l logging) quiet() {
	if l.level.Level() > zapcore.DebugLevel {
		l.level.SetLevel(zapcore.FatalLevel)
	}
}

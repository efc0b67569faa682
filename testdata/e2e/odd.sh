#!/usr/bin/env bash
# Runs a command under circumstances that no image may show: another time zone, locale, umask and SOURCE_DATE_EPOCH.
set -euo pipefail
umask 077
# PYTHONDONTWRITEBYTECODE keeps the scripts' own Python from leaving files in the project.
exec env SOURCE_DATE_EPOCH=1700000000 TZ=Pacific/Chatham LC_ALL=C.UTF-8 LANGUAGE=tr PYTHONDONTWRITEBYTECODE=1 "$@"

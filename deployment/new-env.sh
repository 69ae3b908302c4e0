#!/usr/bin/env bash
# Writes .env for docker-compose.yml, with secrets of its own. Never overwrites one: the old secrets open the volumes.
set -euo pipefail
cd "$(dirname "$0")/.."

secret() {
    head -c 512 /dev/urandom | LC_ALL=C tr -dc 'A-Za-z0-9' | head -c "$1"
}

if [ -e .env ]; then
    echo ".env exists and is kept." >&2
    exit 1
fi
umask 077
cat >.env <<ENV
E2E3D_POSTGRES_HOST=postgres
E2E3D_POSTGRES_PORT=5432
E2E3D_POSTGRES_USER=e2e3d
E2E3D_POSTGRES_PASSWORD=$(secret 32)
E2E3D_POSTGRES_DATABASE=e2e3d
E2E3D_CODE_SERVER_HOST=code-server
E2E3D_CODE_SERVER_PORT=4266
E2E3D_ARTIFACTS=s3://e2e3d/artifacts
E2E3D_UPLOADS=s3://e2e3d/uploads
E2E3D_LOGS_BUCKET=e2e3d-logs
E2E3D_S3_ENDPOINT=http://objects:9000
E2E3D_S3_REGION=us-east-1
E2E3D_S3_ALLOW_HTTP=true
AWS_ACCESS_KEY_ID=$(secret 20)
AWS_SECRET_ACCESS_KEY=$(secret 40)
AWS_REGION=us-east-1
ENV
echo "Wrote .env. Start with: docker compose up --detach --build"

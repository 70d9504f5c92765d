-- The rows of scripts/benchmarks/large_server.py, by model. In braces are numbers and expressions
-- that it inserts: `of_…` are tables with the numbers from 0 as `n`.

-- Tenants, their people, each in a group, and a role that a group has.

-- tenants.Partner
SELECT n, 'partner-' || n AS slug, 'Partner ' || n AS name, 'partner-' || n AS scaikey_id
FROM {of_partners}

-- tenants.Tenant
SELECT n, {slug} AS slug, 'Tenänt ' || n AS name, n % {partners} AS partner_id,
    'scaikey-tenant-' || n AS scaikey_tenant_id, 'ACTIVE' AS scaikey_status,
    CASE n % 200 WHEN 199 THEN 0 END AS suspended_by_hand_at,
    NULLIF(n % 50, 0) AS max_participants, 100 AS max_rooms, 1000 AS max_storage_mb,
    1000000 AS max_ai_tokens_month
FROM {of_tenants}

-- tenants.Participant
SELECT n, tenant_id, 'person-' || n AS scaikey_id, 'person-' || n AS local_id,
    'Pérson ' || {person} AS display_name, 'person-' || n || '@example.org' AS email,
    CASE n % 20 WHEN 0 THEN 'SUSPENDED' ELSE 'ACTIVE' END AS scaikey_status
FROM people

-- tenants.Group
SELECT team AS n, tenant_id, 'group-' || team AS scaikey_id, 'Group ' || {team} AS name
FROM people GROUP BY team, tenant_id

-- tenants.GroupMembership
SELECT n, tenant_id, team AS group_id, n AS member_participant_id FROM people

-- tenants.Role
SELECT n, n AS tenant_id, 'moderator' AS slug, 'Moderator' AS name FROM {of_tenants}

-- tenants.RoleGrant
SELECT tenant_id AS n, tenant_id, tenant_id AS role_id, min(team) AS group_id,
    'maria' AS granted_by
FROM people GROUP BY tenant_id

-- The rooms of the large tenant, with a few members, some with events. The numbers of its people
-- are multiples of 3.

-- rooms.Workspace
SELECT 0 AS n, 0 AS tenant_id, 'main' AS slug, 'Main' AS name

-- rooms.Room
SELECT n, 0 AS tenant_id, 0 AS workspace_id, 3 * (n % {third}) AS creator_id,
    CASE n % 10 WHEN 0 THEN '' ELSE 'Röom ' || {room} END AS name,
    CASE n % 10 WHEN 0 THEN 'dm' ELSE 'group' END AS room_type
FROM {of_rooms}

-- rooms.RoomMember
SELECT n, 0 AS tenant_id, n / {members} AS room_id, 0 AS joined_at,
    3 * ((n / {members} + n % {members}) % {third}) AS participant_id
FROM {of_room_members}

-- rooms.Event
SELECT n, 0 AS tenant_id, n * {step} AS room_id, 3 * (n * {step} % {third}) AS sender_id,
    'swp.room.message' AS event_type, n + 1 AS stream_position,
    '{{"body": "Message ' || (n + 1) || '"}}' AS content, {sent_at} AS origin_ts
FROM {of_events}

-- A room for each tenant with people: the database must not expect all in one.

-- rooms.Workspace
SELECT tenant_id + 1 AS n, tenant_id, 'first' AS slug, 'First' AS name
FROM people GROUP BY tenant_id

-- rooms.Room
SELECT {rooms} + tenant_id AS n, tenant_id, tenant_id + 1 AS workspace_id, min(n) AS creator_id,
    'Lobby' AS name
FROM people GROUP BY tenant_id

-- A file for each room.

-- rooms.Media
SELECT n, tenant_id, {file} AS sha256, 100000 + n AS size,
    'image/png' AS mime_type, 'clean' AS scan_status
FROM {of_files}

-- rooms.RoomMedia
SELECT n, tenant_id, n AS room_id, n AS media_id, 'photo.png' AS name FROM {of_files}

-- A month of syncs.

-- identity_sync.SyncRun
SELECT n, 'scheduler' AS operator, 'cron' AS "trigger",
    '{{"participants": {{"seen": 1000, "added": {changes}}}}}' AS counts,
    CASE n % 100 WHEN 99 THEN 'failed' ELSE 'applied' END AS outcome,
    {began} AS started_at, {began} - 40 AS ended_at, 40 AS duration_seconds
FROM {of_runs}

-- identity_sync.SyncChange
SELECT n, n / {changes} AS run_id, n / {changes} % {tenants} AS tenant_id, n AS subject_id,
    'participants' AS kind, 'added' AS action, 'added' AS reason_code
FROM {of_changes}

-- identity_sync.SyncSkip
SELECT n, n % {tenants} AS tenant_id, 'skipped-' || n AS subject_scaikey_id,
    'participants' AS kind, 'over_limit' AS reason_code
FROM {of_skips}

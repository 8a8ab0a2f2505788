CREATE TABLE sessions (
            session_id TEXT PRIMARY KEY,
            agent TEXT NOT NULL,
            status TEXT DEFAULT 'active',
            started_at TEXT NOT NULL,
            ended_at TEXT,
            event_count INTEGER DEFAULT 0,
            created_at TEXT DEFAULT CURRENT_TIMESTAMP
        );
CREATE TABLE agent_events (
            event_id TEXT PRIMARY KEY,
            session_id TEXT NOT NULL,
            tool_name TEXT NOT NULL,
            timestamp TEXT NOT NULL,
            success INTEGER DEFAULT 1,
            feature_id TEXT,
            work_type TEXT,
            context TEXT,
            FOREIGN KEY (session_id) REFERENCES sessions(session_id)
        );
INSERT INTO sessions (session_id, agent, status, started_at, ended_at, event_count, created_at) VALUES ('sess-0a1b2c3d', 'claude-code', 'ended', '2025-01-14T09:00:00', '2025-01-14T09:30:00', 3, '2025-01-14 14:00:00');
INSERT INTO agent_events (event_id, session_id, tool_name, timestamp, success, feature_id, work_type, context) VALUES ('evt-old0', 'sess-0a1b2c3d', 'Read', '2025-01-14T09:01:00', 1, 'feat-00000001', NULL, NULL);
INSERT INTO agent_events (event_id, session_id, tool_name, timestamp, success, feature_id, work_type, context) VALUES ('evt-old1', 'sess-0a1b2c3d', 'Bash', '2025-01-14T09:02:00', 0, 'feat-00000001', NULL, NULL);
INSERT INTO agent_events (event_id, session_id, tool_name, timestamp, success, feature_id, work_type, context) VALUES ('evt-old2', 'sess-0a1b2c3d', 'Edit', '2025-01-14T09:03:00', 1, 'feat-00000001', NULL, NULL);

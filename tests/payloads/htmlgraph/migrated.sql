CREATE TABLE sessions (
            session_id TEXT PRIMARY KEY,
            agent_assigned TEXT NOT NULL,
            status TEXT DEFAULT 'active',
            started_at TEXT NOT NULL,
            ended_at TEXT,
            event_count INTEGER DEFAULT 0,
            created_at TEXT DEFAULT CURRENT_TIMESTAMP
        , parent_session_id TEXT, parent_event_id TEXT, is_subagent INTEGER DEFAULT 0, total_events INTEGER DEFAULT 0, total_tokens_used INTEGER DEFAULT 0, context_drift REAL DEFAULT 0.0, transcript_id TEXT, transcript_path TEXT, transcript_synced INTEGER DEFAULT 0, end_commit TEXT, features_worked_on TEXT, metadata TEXT, completed_at DATETIME, last_user_query_at DATETIME, last_user_query TEXT, handoff_notes TEXT, recommended_next TEXT, blockers TEXT, recommended_context TEXT, continued_from TEXT, cost_budget REAL, cost_threshold_breached INTEGER DEFAULT 0, predicted_cost REAL DEFAULT 0.0, model TEXT, active_feature_id TEXT);
CREATE TABLE agent_events (
            event_id TEXT PRIMARY KEY,
            session_id TEXT NOT NULL,
            tool_name TEXT NOT NULL,
            timestamp TEXT NOT NULL,
            success INTEGER DEFAULT 1,
            feature_id TEXT,
            work_type TEXT,
            context TEXT, subagent_type TEXT, child_spike_count INTEGER DEFAULT 0, cost_tokens INTEGER DEFAULT 0, execution_duration_seconds REAL DEFAULT 0.0, status TEXT DEFAULT 'recorded', model TEXT, claude_task_id TEXT, tool_input JSON, source TEXT, step_id TEXT,
            FOREIGN KEY (session_id) REFERENCES sessions(session_id)
        );
INSERT INTO sessions (session_id, agent_assigned, status, started_at, ended_at, event_count, created_at, parent_session_id, parent_event_id, is_subagent, total_events, total_tokens_used, context_drift, transcript_id, transcript_path, transcript_synced, end_commit, features_worked_on, metadata, completed_at, last_user_query_at, last_user_query, handoff_notes, recommended_next, blockers, recommended_context, continued_from, cost_budget, cost_threshold_breached, predicted_cost, model, active_feature_id) VALUES ('sess-0a1b2c3d', 'claude-code', 'ended', '2025-01-14T09:00:00', '2025-01-14T09:30:00', 3, '2025-01-14 14:00:00', NULL, NULL, 0, 0, 0, 0.0, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0.0, NULL, NULL);
INSERT INTO agent_events (event_id, session_id, tool_name, timestamp, success, feature_id, work_type, context, subagent_type, child_spike_count, cost_tokens, execution_duration_seconds, status, model, claude_task_id, tool_input, source, step_id) VALUES ('evt-old0', 'sess-0a1b2c3d', 'Read', '2025-01-14T09:01:00', 1, 'feat-00000001', NULL, NULL, NULL, 0, 0, 0.0, 'recorded', NULL, NULL, NULL, NULL, NULL);
INSERT INTO agent_events (event_id, session_id, tool_name, timestamp, success, feature_id, work_type, context, subagent_type, child_spike_count, cost_tokens, execution_duration_seconds, status, model, claude_task_id, tool_input, source, step_id) VALUES ('evt-old1', 'sess-0a1b2c3d', 'Bash', '2025-01-14T09:02:00', 0, 'feat-00000001', NULL, NULL, NULL, 0, 0, 0.0, 'recorded', NULL, NULL, NULL, NULL, NULL);
INSERT INTO agent_events (event_id, session_id, tool_name, timestamp, success, feature_id, work_type, context, subagent_type, child_spike_count, cost_tokens, execution_duration_seconds, status, model, claude_task_id, tool_input, source, step_id) VALUES ('evt-old2', 'sess-0a1b2c3d', 'Edit', '2025-01-14T09:03:00', 1, 'feat-00000001', NULL, NULL, NULL, 0, 0, 0.0, 'recorded', NULL, NULL, NULL, NULL, NULL);

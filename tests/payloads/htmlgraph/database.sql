CREATE TABLE sessions (
            session_id TEXT PRIMARY KEY,
            agent_assigned TEXT NOT NULL,
            parent_session_id TEXT,
            parent_event_id TEXT,
            created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
            completed_at DATETIME,
            total_events INTEGER DEFAULT 0,
            total_tokens_used INTEGER DEFAULT 0,
            context_drift REAL DEFAULT 0.0,
            status TEXT NOT NULL DEFAULT 'active' CHECK(
                status IN ('active', 'completed', 'paused', 'failed')
            ),
            transcript_id TEXT,
            transcript_path TEXT,
            transcript_synced DATETIME,
            start_commit TEXT,
            end_commit TEXT,
            is_subagent BOOLEAN DEFAULT FALSE,
            features_worked_on JSON,
            metadata JSON,
            last_user_query_at DATETIME,
            last_user_query TEXT,
            handoff_notes TEXT,
            recommended_next TEXT,
            blockers JSON,
            recommended_context JSON,
            continued_from TEXT,
            cost_budget REAL,
            cost_threshold_breached INTEGER DEFAULT 0,
            predicted_cost REAL DEFAULT 0.0,
            model TEXT,
            active_feature_id TEXT,
            FOREIGN KEY (parent_session_id) REFERENCES sessions(session_id) ON DELETE SET NULL ON UPDATE CASCADE,
            FOREIGN KEY (parent_event_id) REFERENCES agent_events(event_id) ON DELETE SET NULL ON UPDATE CASCADE,
            FOREIGN KEY (continued_from) REFERENCES sessions(session_id) ON DELETE SET NULL ON UPDATE CASCADE
        );
CREATE TABLE agent_events (
            event_id TEXT PRIMARY KEY,
            agent_id TEXT NOT NULL,
            event_type TEXT NOT NULL CHECK(
                event_type IN ('tool_call', 'tool_result', 'error', 'delegation',
                               'completion', 'start', 'end', 'check_point', 'task_delegation',
                               'teammate_idle', 'task_completed')
            ),
            timestamp DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
            tool_name TEXT,
            input_summary TEXT,
            tool_input JSON,
            output_summary TEXT,
            context JSON,
            session_id TEXT NOT NULL,
            feature_id TEXT,
            parent_agent_id TEXT,
            parent_event_id TEXT,
            subagent_type TEXT,
            child_spike_count INTEGER DEFAULT 0,
            cost_tokens INTEGER DEFAULT 0,
            execution_duration_seconds REAL DEFAULT 0.0,
            status TEXT DEFAULT 'recorded',
            model TEXT,
            claude_task_id TEXT,
            source TEXT DEFAULT 'hook',
            step_id TEXT,
            created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
            updated_at DATETIME DEFAULT CURRENT_TIMESTAMP,
            FOREIGN KEY (session_id) REFERENCES sessions(session_id) ON DELETE CASCADE ON UPDATE CASCADE,
            FOREIGN KEY (parent_event_id) REFERENCES agent_events(event_id) ON DELETE SET NULL ON UPDATE CASCADE,
            FOREIGN KEY (feature_id) REFERENCES features(id) ON DELETE SET NULL ON UPDATE CASCADE
        );
CREATE TABLE features (
            id TEXT PRIMARY KEY,
            type TEXT NOT NULL CHECK(
                type IN ('feature', 'bug', 'spike', 'chore', 'epic', 'task')
            ),
            title TEXT NOT NULL,
            description TEXT,
            status TEXT NOT NULL DEFAULT 'todo' CHECK(
                status IN ('todo', 'in-progress', 'blocked', 'done', 'active', 'ended', 'stale')
            ),
            priority TEXT DEFAULT 'medium' CHECK(
                priority IN ('low', 'medium', 'high', 'critical')
            ),
            assigned_to TEXT,
            assignee TEXT DEFAULT NULL,
            track_id TEXT,
            created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
            updated_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
            completed_at DATETIME,
            steps_total INTEGER DEFAULT 0,
            steps_completed INTEGER DEFAULT 0,
            parent_feature_id TEXT,
            tags JSON,
            metadata JSON,
            FOREIGN KEY (track_id) REFERENCES tracks(id),
            FOREIGN KEY (parent_feature_id) REFERENCES features(id)
        );
CREATE TABLE tracks (
            id TEXT PRIMARY KEY,
            type TEXT DEFAULT 'track',
            title TEXT NOT NULL,
            description TEXT,
            priority TEXT DEFAULT 'medium' CHECK(
                priority IN ('low', 'medium', 'high', 'critical')
            ),
            status TEXT NOT NULL DEFAULT 'todo' CHECK(
                status IN ('todo', 'in-progress', 'blocked', 'done', 'active', 'ended', 'stale')
            ),
            created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
            updated_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
            completed_at DATETIME,
            features JSON,
            metadata JSON
        );
CREATE TABLE agent_presence (
            agent_id TEXT PRIMARY KEY,
            status TEXT NOT NULL DEFAULT 'offline' CHECK(
                status IN ('active', 'idle', 'offline')
            ),
            current_feature_id TEXT,
            last_tool_name TEXT,
            last_activity DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
            total_tools_executed INTEGER DEFAULT 0,
            total_cost_tokens INTEGER DEFAULT 0,
            session_id TEXT,
            updated_at DATETIME DEFAULT CURRENT_TIMESTAMP,
            FOREIGN KEY (current_feature_id) REFERENCES features(id) ON DELETE SET NULL,
            FOREIGN KEY (session_id) REFERENCES sessions(session_id) ON DELETE SET NULL
        );
INSERT INTO sessions (session_id, agent_assigned, parent_session_id, parent_event_id, created_at, completed_at, total_events, total_tokens_used, context_drift, status, transcript_id, transcript_path, transcript_synced, start_commit, end_commit, is_subagent, features_worked_on, metadata, last_user_query_at, last_user_query, handoff_notes, recommended_next, blockers, recommended_context, continued_from, cost_budget, cost_threshold_breached, predicted_cost, model, active_feature_id) VALUES ('7d0a9f52-4c11-4b8e-9b0e-0c1d2e3f4a5b', 'claude-code', NULL, NULL, '2025-01-14 22:41:47', NULL, 7, 0, 0.0, 'active', NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0.0, 'claude-opus-4-6', 'feat-1a2b3c4d');
INSERT INTO sessions (session_id, agent_assigned, parent_session_id, parent_event_id, created_at, completed_at, total_events, total_tokens_used, context_drift, status, transcript_id, transcript_path, transcript_synced, start_commit, end_commit, is_subagent, features_worked_on, metadata, last_user_query_at, last_user_query, handoff_notes, recommended_next, blockers, recommended_context, continued_from, cost_budget, cost_threshold_breached, predicted_cost, model, active_feature_id) VALUES ('7d0a9f52-4c11-4b8e-9b0e-0c1d2e3f4a5b-explorer', 'claude-code', '7d0a9f52-4c11-4b8e-9b0e-0c1d2e3f4a5b', 'evt-32834dce', '2025-01-14 22:41:47', NULL, 1, 0, 0.0, 'active', NULL, NULL, NULL, NULL, NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0.0, NULL, NULL);
INSERT INTO sessions (session_id, agent_assigned, parent_session_id, parent_event_id, created_at, completed_at, total_events, total_tokens_used, context_drift, status, transcript_id, transcript_path, transcript_synced, start_commit, end_commit, is_subagent, features_worked_on, metadata, last_user_query_at, last_user_query, handoff_notes, recommended_next, blockers, recommended_context, continued_from, cost_budget, cost_threshold_breached, predicted_cost, model, active_feature_id) VALUES ('2b6f1e08-93ad-4d57-8c2e-6a7b8c9d0e1f', 'gemini', NULL, NULL, '2025-01-14 22:41:49', '2025-01-14 22:41:49', 4, 0, 0.0, 'completed', NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0.0, NULL, NULL);
INSERT INTO agent_events (event_id, agent_id, event_type, timestamp, tool_name, input_summary, tool_input, output_summary, context, session_id, feature_id, parent_agent_id, parent_event_id, subagent_type, child_spike_count, cost_tokens, execution_duration_seconds, status, model, claude_task_id, source, step_id, created_at, updated_at) VALUES ('uq-84b45989', 'user', 'tool_call', '2025-01-14 22:41:47', 'UserQuery', '(prompt)', NULL, NULL, '{"prompt": "(prompt)", "session": "7d0a9f52-4c11-4b8e-9b0e-0c1d2e3f4a5b"}', '7d0a9f52-4c11-4b8e-9b0e-0c1d2e3f4a5b', 'feat-1a2b3c4d', NULL, NULL, NULL, 0, 0, 0.0, 'recorded', NULL, NULL, 'hook', NULL, '2025-01-14 22:41:47', '2025-01-14 22:41:47');
INSERT INTO agent_events (event_id, agent_id, event_type, timestamp, tool_name, input_summary, tool_input, output_summary, context, session_id, feature_id, parent_agent_id, parent_event_id, subagent_type, child_spike_count, cost_tokens, execution_duration_seconds, status, model, claude_task_id, source, step_id, created_at, updated_at) VALUES ('evt-9ad7654c', 'claude-code', 'tool_call', '2025-01-14 22:41:47', 'Read', 'cart.py', '{"file_path": "cart.py"}', '(output)', '{"file_paths": [], "tool_input_keys": ["file_path"], "is_error": false}', '7d0a9f52-4c11-4b8e-9b0e-0c1d2e3f4a5b', 'feat-1a2b3c4d', NULL, 'uq-84b45989', NULL, 0, 0, 0.0, 'recorded', 'Opus 4.6', NULL, 'hook', NULL, '2025-01-14 22:41:47', '2025-01-14 22:41:47');
INSERT INTO agent_events (event_id, agent_id, event_type, timestamp, tool_name, input_summary, tool_input, output_summary, context, session_id, feature_id, parent_agent_id, parent_event_id, subagent_type, child_spike_count, cost_tokens, execution_duration_seconds, status, model, claude_task_id, source, step_id, created_at, updated_at) VALUES ('evt-cf92e531', 'claude-code', 'tool_call', '2025-01-14 22:41:47', 'Bash', '', '{"file_path": "cart.py"}', '(error)', '{"file_paths": [], "tool_input_keys": ["file_path"], "is_error": true}', '7d0a9f52-4c11-4b8e-9b0e-0c1d2e3f4a5b', 'feat-1a2b3c4d', NULL, 'uq-84b45989', NULL, 0, 0, 0.0, 'recorded', 'Opus 4.6', NULL, 'hook', NULL, '2025-01-14 22:41:47', '2025-01-14 22:41:47');
INSERT INTO agent_events (event_id, agent_id, event_type, timestamp, tool_name, input_summary, tool_input, output_summary, context, session_id, feature_id, parent_agent_id, parent_event_id, subagent_type, child_spike_count, cost_tokens, execution_duration_seconds, status, model, claude_task_id, source, step_id, created_at, updated_at) VALUES ('evt-ddba28a6', 'claude-code', 'tool_call', '2025-01-14 22:41:47', 'Edit', 'cart.py (...)', '{"file_path": "cart.py"}', '(output)', '{"file_paths": [], "tool_input_keys": ["file_path"], "is_error": false}', '7d0a9f52-4c11-4b8e-9b0e-0c1d2e3f4a5b', 'feat-1a2b3c4d', NULL, 'uq-84b45989', NULL, 0, 0, 0.0, 'recorded', 'Opus 4.6', 'toolu_01Qm7xVdW9', 'hook', NULL, '2025-01-14 22:41:47', '2025-01-14 22:41:47');
INSERT INTO agent_events (event_id, agent_id, event_type, timestamp, tool_name, input_summary, tool_input, output_summary, context, session_id, feature_id, parent_agent_id, parent_event_id, subagent_type, child_spike_count, cost_tokens, execution_duration_seconds, status, model, claude_task_id, source, step_id, created_at, updated_at) VALUES ('evt-c17a19ca', 'claude-code', 'check_point', '2025-01-14 22:41:47', 'PermissionRequest', 'tool=Bash, fields=[''command'']', NULL, 'Permission request recorded', '{"requested_tool": "Bash", "action": "unknown", "timestamp": "2025-01-14T22:41:47.603768+00:00"}', '7d0a9f52-4c11-4b8e-9b0e-0c1d2e3f4a5b', NULL, NULL, NULL, NULL, 0, 0, 0.0, 'recorded', NULL, NULL, 'hook', NULL, '2025-01-14 22:41:47', '2025-01-14 22:41:47');
INSERT INTO agent_events (event_id, agent_id, event_type, timestamp, tool_name, input_summary, tool_input, output_summary, context, session_id, feature_id, parent_agent_id, parent_event_id, subagent_type, child_spike_count, cost_tokens, execution_duration_seconds, status, model, claude_task_id, source, step_id, created_at, updated_at) VALUES ('evt-32834dce', 'claude-code', 'task_delegation', '2025-01-14 22:41:47', 'Task', '(explorer): look around', '{"description": "look around", "prompt": "(prompt)", "subagent_type": "explorer", "model": "haiku"}', '{"status": "completed", "child_spike_count": 0, "completion_time": "2025-01-14T22:41:49.606879+00:00"}', NULL, '7d0a9f52-4c11-4b8e-9b0e-0c1d2e3f4a5b', NULL, NULL, 'uq-84b45989', 'explorer', 0, 0, 0.0, 'completed', 'Haiku 4.5', NULL, 'hook', NULL, '2025-01-14 22:41:47', '2025-01-14 22:41:49');
INSERT INTO agent_events (event_id, agent_id, event_type, timestamp, tool_name, input_summary, tool_input, output_summary, context, session_id, feature_id, parent_agent_id, parent_event_id, subagent_type, child_spike_count, cost_tokens, execution_duration_seconds, status, model, claude_task_id, source, step_id, created_at, updated_at) VALUES ('evt-a3868c62', 'claude-code', 'tool_call', '2025-01-14 22:41:47', 'Grep', '', '{"file_path": "cart.py"}', '(output)', '{"file_paths": [], "tool_input_keys": ["file_path"], "is_error": false}', '7d0a9f52-4c11-4b8e-9b0e-0c1d2e3f4a5b-explorer', NULL, NULL, 'evt-32834dce', 'explorer', 0, 0, 0.0, 'recorded', 'Haiku 4.5', NULL, 'hook', NULL, '2025-01-14 22:41:47', '2025-01-14 22:41:47');
INSERT INTO agent_events (event_id, agent_id, event_type, timestamp, tool_name, input_summary, tool_input, output_summary, context, session_id, feature_id, parent_agent_id, parent_event_id, subagent_type, child_spike_count, cost_tokens, execution_duration_seconds, status, model, claude_task_id, source, step_id, created_at, updated_at) VALUES ('evt-tc-0a1b2c3d', 'claude-code', 'task_completed', '2025-01-14T22:41:49.622045+00:00', 'TaskCompleted', NULL, NULL, NULL, NULL, '7d0a9f52-4c11-4b8e-9b0e-0c1d2e3f4a5b', 'feat-1a2b3c4d', NULL, 'evt-32834dce', NULL, 0, 0, 0.0, 'completed', NULL, NULL, 'hook', NULL, '2025-01-14 22:41:49', '2025-01-14 22:41:49');
INSERT INTO agent_events (event_id, agent_id, event_type, timestamp, tool_name, input_summary, tool_input, output_summary, context, session_id, feature_id, parent_agent_id, parent_event_id, subagent_type, child_spike_count, cost_tokens, execution_duration_seconds, status, model, claude_task_id, source, step_id, created_at, updated_at) VALUES ('evt-6e764d24', 'claude-code', 'tool_call', '2025-01-14 22:41:49', 'Stop', '{''stop'': True}', '{"stop": true}', 'Agent stopped', '{"file_paths": [], "tool_input_keys": ["stop"], "is_error": false}', '7d0a9f52-4c11-4b8e-9b0e-0c1d2e3f4a5b', NULL, NULL, 'uq-84b45989', NULL, 0, 0, 0.0, 'recorded', NULL, NULL, 'hook', NULL, '2025-01-14 22:41:49', '2025-01-14 22:41:49');
INSERT INTO agent_events (event_id, agent_id, event_type, timestamp, tool_name, input_summary, tool_input, output_summary, context, session_id, feature_id, parent_agent_id, parent_event_id, subagent_type, child_spike_count, cost_tokens, execution_duration_seconds, status, model, claude_task_id, source, step_id, created_at, updated_at) VALUES ('evt-aa8040f7', 'claude-code', 'check_point', '2025-01-14 22:41:49', 'PreCompact', 'Compact triggered: unknown', NULL, 'Compaction recorded', '{"trigger": "unknown", "has_custom_instructions": false, "timestamp": "2025-01-14T22:41:49.644095+00:00"}', '7d0a9f52-4c11-4b8e-9b0e-0c1d2e3f4a5b', NULL, NULL, NULL, NULL, 0, 0, 0.0, 'recorded', NULL, NULL, 'hook', NULL, '2025-01-14 22:41:49', '2025-01-14 22:41:49');
INSERT INTO agent_events (event_id, agent_id, event_type, timestamp, tool_name, input_summary, tool_input, output_summary, context, session_id, feature_id, parent_agent_id, parent_event_id, subagent_type, child_spike_count, cost_tokens, execution_duration_seconds, status, model, claude_task_id, source, step_id, created_at, updated_at) VALUES ('uq-83e55513', 'user', 'tool_call', '2025-01-14 22:41:49', 'UserQuery', '(prompt)', NULL, NULL, '{"prompt": "(prompt)", "session": "2b6f1e08-93ad-4d57-8c2e-6a7b8c9d0e1f"}', '2b6f1e08-93ad-4d57-8c2e-6a7b8c9d0e1f', NULL, NULL, NULL, NULL, 0, 0, 0.0, 'recorded', NULL, NULL, 'hook', NULL, '2025-01-14 22:41:49', '2025-01-14 22:41:49');
INSERT INTO agent_events (event_id, agent_id, event_type, timestamp, tool_name, input_summary, tool_input, output_summary, context, session_id, feature_id, parent_agent_id, parent_event_id, subagent_type, child_spike_count, cost_tokens, execution_duration_seconds, status, model, claude_task_id, source, step_id, created_at, updated_at) VALUES ('evt-b7fc3a8b', 'gemini', 'tool_call', '2025-01-14 22:41:49', 'run_shell_command', '{''file_path'': ''cart.py''}', '{"file_path": "cart.py"}', '(output)', '{"file_paths": [], "tool_input_keys": ["file_path"], "is_error": false}', '2b6f1e08-93ad-4d57-8c2e-6a7b8c9d0e1f', 'bug-5e6f7a8b', NULL, 'uq-83e55513', NULL, 0, 0, 0.0, 'recorded', NULL, NULL, 'hook', NULL, '2025-01-14 22:41:49', '2025-01-14 22:41:49');
INSERT INTO agent_events (event_id, agent_id, event_type, timestamp, tool_name, input_summary, tool_input, output_summary, context, session_id, feature_id, parent_agent_id, parent_event_id, subagent_type, child_spike_count, cost_tokens, execution_duration_seconds, status, model, claude_task_id, source, step_id, created_at, updated_at) VALUES ('event-55486308', 'gemini', 'tool_call', '2025-01-14 22:41:49', 'HeadlessSpawner.executing', 'Executing', NULL, 'done', '{"phase_name": "Executing", "spawner_type": "gemini", "parent_delegation_event": "evt-none", "spawned_agent": "gemini"}', '2b6f1e08-93ad-4d57-8c2e-6a7b8c9d0e1f', NULL, NULL, 'evt-none', 'gemini', 0, 0, 8.971691131591796875e-04, 'completed', NULL, NULL, 'hook', NULL, '2025-01-14 22:41:49', '2025-01-14 22:41:49');
INSERT INTO agent_events (event_id, agent_id, event_type, timestamp, tool_name, input_summary, tool_input, output_summary, context, session_id, feature_id, parent_agent_id, parent_event_id, subagent_type, child_spike_count, cost_tokens, execution_duration_seconds, status, model, claude_task_id, source, step_id, created_at, updated_at) VALUES ('event-d85c4ed8', 'gemini', 'tool_call', '2025-01-14 22:41:49', 'write_file', '{''path'': ''x''}', NULL, 'done', '{"tool_name": "write_file", "spawner_type": "gemini", "parent_phase_event": "event-55486308", "spawned_agent": "gemini"}', '2b6f1e08-93ad-4d57-8c2e-6a7b8c9d0e1f', NULL, NULL, 'event-55486308', 'gemini', 0, 0, 0.0, 'failed', NULL, NULL, 'hook', NULL, '2025-01-14 22:41:49', '2025-01-14 22:41:49');
INSERT INTO features (id, type, title, description, status, priority, assigned_to, assignee, track_id, created_at, updated_at, completed_at, steps_total, steps_completed, parent_feature_id, tags, metadata) VALUES ('bug-5e6f7a8b', 'bug', 'Totals are off by one', NULL, 'done', 'high', 'gemini', NULL, NULL, '2025-01-14 22:41:47', '2025-01-14 22:41:49', '2025-01-14 22:41:49', 0, 1, NULL, NULL, NULL);
INSERT INTO features (id, type, title, description, status, priority, assigned_to, assignee, track_id, created_at, updated_at, completed_at, steps_total, steps_completed, parent_feature_id, tags, metadata) VALUES ('spk-9c0d1e2f', 'spike', 'Which payment service', NULL, 'todo', 'medium', NULL, NULL, NULL, '2025-01-14 22:41:47', '2025-01-14 22:41:47', NULL, 0, 0, NULL, NULL, NULL);
INSERT INTO features (id, type, title, description, status, priority, assigned_to, assignee, track_id, created_at, updated_at, completed_at, steps_total, steps_completed, parent_feature_id, tags, metadata) VALUES ('feat-1a2b3c4d', 'feature', 'Checkout in one step', '', 'blocked', 'medium', 'claude-code', NULL, NULL, '2025-01-14T22:41:47', '2025-01-14T17:41:49.719228', NULL, 0, 0, NULL, '[]', '{"steps": [], "edges": {}, "properties": {}}');
INSERT INTO agent_presence (agent_id, status, current_feature_id, last_tool_name, last_activity, total_tools_executed, total_cost_tokens, session_id, updated_at) VALUES ('claude-code', 'active', 'feat-1a2b3c4d', 'Stop', '2025-01-14T17:41:49.722316', 1, 0, '7d0a9f52-4c11-4b8e-9b0e-0c1d2e3f4a5b', '2025-01-14T17:41:49.722444');
INSERT INTO agent_presence (agent_id, status, current_feature_id, last_tool_name, last_activity, total_tools_executed, total_cost_tokens, session_id, updated_at) VALUES ('docs-writer', 'active', NULL, 'Write', '2025-01-14T17:41:49.757607', 1, 120, NULL, '2025-01-14T17:41:49.757810');
INSERT INTO agent_presence (agent_id, status, current_feature_id, last_tool_name, last_activity, total_tools_executed, total_cost_tokens, session_id, updated_at) VALUES ('night-shift', 'offline', NULL, 'Write', '2025-01-14T17:41:49.763826', 1, 0, NULL, '2025-01-14T17:41:49.765916');

PRAGMA application_id = 1212632642;
PRAGMA user_version = 5;
BEGIN TRANSACTION;
CREATE TABLE agent_presence (
        agent_id TEXT PRIMARY KEY,
        status TEXT NOT NULL,
        current_feature_id TEXT,
        last_tool_name TEXT,
        last_activity INTEGER NOT NULL,
        total_tools_executed INTEGER NOT NULL,
        total_cost_tokens INTEGER NOT NULL,
        session_id TEXT,
        detail TEXT NOT NULL,
        reason TEXT,
        since INTEGER,
        attention INTEGER NOT NULL,
        model TEXT,
        project TEXT,
        host TEXT,
        parent_agent_id TEXT,
        cost_usd REAL,
        seq INTEGER NOT NULL,
        evidence TEXT NOT NULL
    , total_errors INTEGER NOT NULL DEFAULT 0, title TEXT, branch TEXT, cwd TEXT, worktree TEXT, agent_kind TEXT, user TEXT, pr TEXT, context_tokens INTEGER, context_window INTEGER, context_source TEXT, compacted_at INTEGER, detail_since INTEGER, detail_until INTEGER, unseen INTEGER NOT NULL DEFAULT 0, hooks INTEGER, alive INTEGER NOT NULL DEFAULT 0, session_tokens INTEGER NOT NULL DEFAULT 0, session_cost_usd REAL, unpriced_tokens INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
INSERT INTO "agent_presence" VALUES('claude-1','idle',NULL,NULL,1736878290000000,0,0,'s-3','done','the session began, no prompt yet',1736878290000000,0,NULL,NULL,NULL,NULL,NULL,32,'{"last_event":["session_start",""],"latest":{"life":1736878290000000,"start":1736878290000000}}',0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1736878290000000,NULL,0,NULL,0,0,NULL,0);
INSERT INTO "agent_presence" VALUES('codex-1','idle',NULL,NULL,1736878230000000,0,0,'s-2','done','waits at its prompt',1736878230000000,0,NULL,NULL,NULL,NULL,NULL,31,'{"last_event":["notification",""],"background":[0,1736878230000000],"turn_end":["notification",1736878230000000]}',0,NULL,NULL,NULL,NULL,'codex',NULL,NULL,NULL,NULL,NULL,NULL,1736878230000000,NULL,0,0,0,0,NULL,0);
CREATE TABLE decisions (
        id INTEGER PRIMARY KEY,
        status TEXT NOT NULL,
        detail TEXT NOT NULL,
        reason TEXT NOT NULL,
        attention INTEGER NOT NULL,
        UNIQUE (status, detail, reason, attention)
    );
INSERT INTO "decisions" VALUES(1,'idle','done','the session began, no prompt yet',0);
INSERT INTO "decisions" VALUES(2,'active','working','got a prompt',0);
INSERT INTO "decisions" VALUES(3,'active','tool','Bash is running',0);
INSERT INTO "decisions" VALUES(4,'active','waiting_permission','waits for permission to use Bash',1);
INSERT INTO "decisions" VALUES(5,'active','working','used Bash',0);
INSERT INTO "decisions" VALUES(6,'active','working','the model answered',0);
INSERT INTO "decisions" VALUES(7,'active','background','1 subagent at work',0);
INSERT INTO "decisions" VALUES(8,'idle','done','the turn is over',0);
INSERT INTO "decisions" VALUES(9,'active','working','used Grep',0);
INSERT INTO "decisions" VALUES(10,'active','working','started a subagent',0);
INSERT INTO "decisions" VALUES(11,'idle','unknown','no activity for a while',0);
INSERT INTO "decisions" VALUES(12,'offline','done','no activity for too long',0);
INSERT INTO "decisions" VALUES(13,'idle','error','the turn ended with an error',0);
INSERT INTO "decisions" VALUES(14,'offline','forgotten','left the roster',0);
INSERT INTO "decisions" VALUES(15,'idle','done','waits at its prompt',0);
CREATE TABLE events (
        id INTEGER PRIMARY KEY,
        ts INTEGER NOT NULL,
        agent INTEGER NOT NULL,
        type INTEGER NOT NULL,
        session INTEGER,
        tool INTEGER,
        feature INTEGER,
        model INTEGER,
        parent INTEGER,
        project INTEGER,
        host INTEGER,
        source INTEGER,
        event_id TEXT,
        tool_use_id TEXT,
        input_tokens INTEGER,
        cache_read_tokens INTEGER,
        cache_write_5m_tokens INTEGER,
        cache_write_1h_tokens INTEGER,
        output_tokens INTEGER,
        cost_tokens INTEGER,
        cost_usd REAL,
        duration_ms INTEGER,
        status INTEGER,
        extra TEXT
    , decision INTEGER, title INTEGER, branch INTEGER, cwd INTEGER, worktree INTEGER, kind INTEGER, user INTEGER, pr INTEGER, context_source INTEGER, context_tokens INTEGER, context_window INTEGER);
INSERT INTO "events" VALUES(1,1736866231000000,1,2,3,NULL,NULL,4,NULL,5,NULL,6,'e-claude-1-1',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1,7,8,9,NULL,10,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(2,1736866235000000,1,11,3,NULL,NULL,4,NULL,5,NULL,6,'e-claude-1-5',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,2,7,8,9,NULL,10,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(3,1736866239000000,1,12,3,13,NULL,4,NULL,5,NULL,6,'e-claude-1-9','c-1',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,3,7,8,9,NULL,10,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(4,1736866242000000,1,14,3,13,NULL,4,NULL,5,NULL,6,'e-claude-1-12',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,4,7,8,9,NULL,10,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(5,1736866290000000,1,15,3,13,NULL,4,NULL,5,NULL,6,'e-claude-1-60','c-1',NULL,NULL,NULL,NULL,NULL,NULL,NULL,900,0,NULL,5,7,8,9,NULL,10,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(6,1736866291000000,1,16,3,NULL,NULL,4,NULL,5,NULL,6,'e-claude-1-61',NULL,1000,NULL,NULL,NULL,200,1200,NULL,NULL,NULL,NULL,6,7,8,9,NULL,10,NULL,NULL,NULL,1200,200000);
INSERT INTO "events" VALUES(7,1736866300000000,1,17,3,NULL,NULL,4,NULL,5,NULL,6,'e-claude-1-70',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"child_agent_id":"explore-1"}',7,7,8,9,NULL,10,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(8,1736866302000000,18,11,3,NULL,NULL,NULL,1,NULL,NULL,6,'e-explore-1-72',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,2,NULL,NULL,NULL,NULL,10,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(9,1736866303000000,19,11,3,NULL,NULL,NULL,18,NULL,NULL,6,'e-check-1-73',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,2,NULL,NULL,NULL,NULL,10,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(10,1736866306000000,19,16,3,NULL,NULL,NULL,18,NULL,NULL,6,'e-check-1-76',NULL,30,NULL,NULL,NULL,4,34,NULL,NULL,NULL,NULL,6,NULL,NULL,NULL,NULL,10,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(11,1736866308000000,19,20,3,NULL,NULL,NULL,18,NULL,NULL,6,'e-check-1-78',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,8,NULL,NULL,NULL,NULL,10,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(12,1736866310000000,18,21,3,22,NULL,NULL,1,NULL,NULL,6,'e-explore-1-80',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1,NULL,9,NULL,NULL,NULL,NULL,10,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(13,1736866320000000,18,20,3,NULL,NULL,NULL,1,NULL,NULL,6,'e-explore-1-90',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,8,NULL,NULL,NULL,NULL,10,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(14,1736866320000000,1,23,NULL,NULL,NULL,NULL,NULL,NULL,NULL,24,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"child_agent_id":"explore-1"}',10,7,8,9,NULL,10,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(15,1736866330000000,1,20,3,NULL,NULL,4,NULL,5,NULL,6,'e-claude-1-100',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,8,7,8,9,NULL,10,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(16,1736866430000000,25,2,26,NULL,NULL,NULL,NULL,NULL,NULL,27,'e-codex-1-200',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1,NULL,NULL,NULL,NULL,28,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(17,1736866431000000,25,11,26,NULL,NULL,NULL,NULL,NULL,NULL,27,'e-codex-1-201',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,2,NULL,NULL,NULL,NULL,28,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(18,1736866460000000,25,16,26,NULL,NULL,NULL,NULL,NULL,NULL,27,'e-codex-1-230',NULL,50,NULL,NULL,NULL,7,57,0.25,NULL,NULL,NULL,6,NULL,NULL,NULL,NULL,28,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(19,1736866760000000,25,29,NULL,NULL,NULL,NULL,NULL,NULL,NULL,30,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"after_s":300}',11,NULL,NULL,NULL,NULL,28,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(20,1736868110000000,19,31,NULL,NULL,NULL,NULL,NULL,NULL,NULL,30,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"after_s":1800}',12,NULL,NULL,NULL,NULL,10,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(21,1736868120000000,18,31,NULL,NULL,NULL,NULL,NULL,NULL,NULL,30,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"after_s":1800}',12,NULL,NULL,NULL,NULL,10,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(22,1736868130000000,1,31,NULL,NULL,NULL,NULL,NULL,NULL,NULL,30,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"after_s":1800}',12,7,8,9,NULL,10,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(23,1736868260000000,25,31,NULL,NULL,NULL,NULL,NULL,NULL,NULL,30,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"after_s":1800}',12,NULL,NULL,NULL,NULL,28,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(24,1736869230000000,1,11,3,NULL,NULL,4,NULL,5,NULL,6,'e-claude-1-3000',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,2,7,8,9,NULL,10,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(25,1736869240000000,1,32,3,NULL,NULL,4,NULL,5,NULL,6,'e-claude-1-3010',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,13,7,8,9,NULL,10,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(26,1736871040000000,1,31,NULL,NULL,NULL,NULL,NULL,NULL,NULL,30,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"after_s":1800}',12,7,8,9,NULL,10,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(27,1736873510000000,19,33,NULL,NULL,NULL,NULL,NULL,NULL,NULL,30,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"after_s":7200}',14,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(28,1736873520000000,18,33,NULL,NULL,NULL,NULL,NULL,NULL,NULL,30,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"after_s":7200}',14,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(29,1736873660000000,25,33,NULL,NULL,NULL,NULL,NULL,NULL,NULL,30,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"after_s":7200}',14,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(30,1736876440000000,1,33,NULL,NULL,NULL,NULL,NULL,NULL,NULL,30,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"after_s":7200}',14,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(31,1736878230000000,25,34,26,NULL,NULL,NULL,NULL,NULL,NULL,27,'e-codex-1-12000',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"notification_type":"idle_prompt"}',15,NULL,NULL,NULL,NULL,28,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(32,1736878290000000,1,2,35,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'e-claude-1-12060',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE features (
        resource_type TEXT NOT NULL,
        resource_id TEXT NOT NULL,
        status TEXT,
        payload TEXT NOT NULL,
        seq INTEGER NOT NULL,
        PRIMARY KEY (resource_type, resource_id)
    ) WITHOUT ROWID;
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
INSERT INTO "meta" VALUES('epoch','3860243a3f0f1eaa');
INSERT INTO "meta" VALUES('forgotten_seq',30);
INSERT INTO "meta" VALUES('undecided_seq',0);
CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
INSERT INTO "names" VALUES(1,'claude-1');
INSERT INTO "names" VALUES(2,'session_start');
INSERT INTO "names" VALUES(3,'s-1');
INSERT INTO "names" VALUES(4,'claude-opus-4-5');
INSERT INTO "names" VALUES(5,'shop');
INSERT INTO "names" VALUES(6,'claude-hook');
INSERT INTO "names" VALUES(7,'Fix the cart');
INSERT INTO "names" VALUES(8,'main');
INSERT INTO "names" VALUES(9,'/work/shop');
INSERT INTO "names" VALUES(10,'claude');
INSERT INTO "names" VALUES(11,'prompt');
INSERT INTO "names" VALUES(12,'tool_start');
INSERT INTO "names" VALUES(13,'Bash');
INSERT INTO "names" VALUES(14,'permission_request');
INSERT INTO "names" VALUES(15,'tool_execute');
INSERT INTO "names" VALUES(16,'completion');
INSERT INTO "names" VALUES(17,'subagent_start');
INSERT INTO "names" VALUES(18,'explore-1');
INSERT INTO "names" VALUES(19,'check-1');
INSERT INTO "names" VALUES(20,'stop');
INSERT INTO "names" VALUES(21,'tool_error');
INSERT INTO "names" VALUES(22,'Grep');
INSERT INTO "names" VALUES(23,'subagent_stop');
INSERT INTO "names" VALUES(24,'family');
INSERT INTO "names" VALUES(25,'codex-1');
INSERT INTO "names" VALUES(26,'s-2');
INSERT INTO "names" VALUES(27,'codex-session');
INSERT INTO "names" VALUES(28,'codex');
INSERT INTO "names" VALUES(29,'idle');
INSERT INTO "names" VALUES(30,'timer');
INSERT INTO "names" VALUES(31,'offline');
INSERT INTO "names" VALUES(32,'error');
INSERT INTO "names" VALUES(33,'forget');
INSERT INTO "names" VALUES(34,'notification');
INSERT INTO "names" VALUES(35,'s-3');
CREATE TABLE "observations" (
        id INTEGER PRIMARY KEY,
        ts INTEGER NOT NULL,
        dedup_key TEXT NOT NULL,
        source TEXT NOT NULL,
        event_id TEXT
    );
INSERT INTO "observations" VALUES(1,1736866231000000,'s-1:claude-1:session_start','hook','e-claude-1-1');
INSERT INTO "observations" VALUES(2,1736866235000000,'s-1:claude-1:prompt','hook','e-claude-1-5');
INSERT INTO "observations" VALUES(3,1736866291000000,'s-1:tokens','answers',NULL);
INSERT INTO "observations" VALUES(4,1736866291000000,'s-1:answer:1000:200','hook','e-claude-1-61');
INSERT INTO "observations" VALUES(5,1736866300000000,'s-1:explore-1:subagent_start','hook','e-claude-1-70');
INSERT INTO "observations" VALUES(6,1736866302000000,'s-1:explore-1:prompt','hook','e-explore-1-72');
INSERT INTO "observations" VALUES(7,1736866303000000,'s-1:check-1:prompt','hook','e-check-1-73');
INSERT INTO "observations" VALUES(8,1736866306000000,'s-1:answer:30:4','hook','e-check-1-76');
INSERT INTO "observations" VALUES(9,1736866308000000,'s-1:check-1:stop','hook','e-check-1-78');
INSERT INTO "observations" VALUES(10,1736866310000000,'s-1:Grep:end','hook','e-explore-1-80');
INSERT INTO "observations" VALUES(11,1736866320000000,'s-1:explore-1:stop','hook','e-explore-1-90');
INSERT INTO "observations" VALUES(12,1736866330000000,'s-1:claude-1:stop','hook','e-claude-1-100');
INSERT INTO "observations" VALUES(13,1736866430000000,'s-2:codex-1:session_start','file','e-codex-1-200');
INSERT INTO "observations" VALUES(14,1736866431000000,'s-2:codex-1:prompt','file','e-codex-1-201');
INSERT INTO "observations" VALUES(15,1736866460000000,'s-2:tokens','answers',NULL);
INSERT INTO "observations" VALUES(16,1736866460000000,'codex-1:answer:50:7','file','e-codex-1-230');
INSERT INTO "observations" VALUES(17,1736869230000000,'s-1:claude-1:prompt','hook','e-claude-1-3000');
INSERT INTO "observations" VALUES(18,1736869240000000,'s-1:claude-1:error','hook','e-claude-1-3010');
CREATE TABLE quotas (
        account TEXT NOT NULL,
        window TEXT NOT NULL,
        agent_kind TEXT,
        plan TEXT,
        minutes INTEGER,
        used_percent REAL NOT NULL,
        resets_at INTEGER,
        reported_at INTEGER NOT NULL,
        source TEXT,
        official INTEGER NOT NULL,
        PRIMARY KEY (account, window)
    ) WITHOUT ROWID;
CREATE TABLE segments (
        first_id INTEGER PRIMARY KEY,
        last_id INTEGER NOT NULL,
        n_rows INTEGER NOT NULL,
        n_bytes INTEGER NOT NULL,
        crc32 INTEGER NOT NULL,
        first_ts INTEGER NOT NULL,
        last_ts INTEGER NOT NULL,
        file TEXT NOT NULL
    );
CREATE TABLE session_files (
        path TEXT PRIMARY KEY,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL
    ) WITHOUT ROWID;
CREATE UNIQUE INDEX events_event_id ON events (event_id) WHERE event_id IS NOT NULL;
CREATE TRIGGER events_deleted AFTER DELETE ON events BEGIN
        DELETE FROM segments WHERE first_id <= OLD.id AND last_id >= OLD.id;
    END;
CREATE TRIGGER events_updated AFTER UPDATE ON events BEGIN
        DELETE FROM segments WHERE (first_id <= OLD.id AND last_id >= OLD.id)
            OR (first_id <= NEW.id AND last_id >= NEW.id);
    END;
CREATE TRIGGER events_inserted AFTER INSERT ON events
    WHEN NEW.id <= (SELECT last_id FROM segments ORDER BY first_id DESC LIMIT 1) BEGIN
        DELETE FROM segments WHERE first_id <= NEW.id AND last_id >= NEW.id;
    END;
CREATE TRIGGER names_deleted AFTER DELETE ON names BEGIN DELETE FROM segments; END;
CREATE TRIGGER names_updated AFTER UPDATE ON names BEGIN DELETE FROM segments; END;
CREATE INDEX observations_dedup_key ON observations (dedup_key, ts);
CREATE VIEW history AS SELECT e.id AS seq, e.ts AS timestamp, n_agent.name AS agent_id, n_type.name AS event_type, n_session.name AS session_id, n_tool.name AS tool_name, e.tool_use_id AS tool_use_id, n_feature.name AS feature_id, n_model.name AS model, CASE e.status WHEN 0 THEN 'ok' WHEN 1 THEN 'error' END AS status, e.input_tokens AS input_tokens, e.cache_read_tokens AS cache_read_tokens, e.cache_write_5m_tokens AS cache_write_5m_tokens, e.cache_write_1h_tokens AS cache_write_1h_tokens, e.output_tokens AS output_tokens, e.cost_tokens AS cost_tokens, e.cost_usd AS cost_usd, e.duration_ms AS duration_ms, n_parent.name AS parent_agent_id, n_project.name AS project, n_host.name AS host, n_source.name AS source, e.event_id AS event_id, e.extra AS extra, d.status AS agent_status, d.detail AS agent_detail, d.reason AS agent_reason, d.attention AS agent_attention, n_title.name AS title, n_branch.name AS branch, n_cwd.name AS cwd, n_worktree.name AS worktree, n_kind.name AS agent_kind, n_user.name AS user, n_pr.name AS pr, n_context_source.name AS context_source, e.context_tokens AS context_tokens, e.context_window AS context_window FROM events e LEFT JOIN names n_agent ON n_agent.id = e.agent LEFT JOIN names n_type ON n_type.id = e.type LEFT JOIN names n_session ON n_session.id = e.session LEFT JOIN names n_tool ON n_tool.id = e.tool LEFT JOIN names n_feature ON n_feature.id = e.feature LEFT JOIN names n_model ON n_model.id = e.model LEFT JOIN names n_parent ON n_parent.id = e.parent LEFT JOIN names n_project ON n_project.id = e.project LEFT JOIN names n_host ON n_host.id = e.host LEFT JOIN names n_source ON n_source.id = e.source LEFT JOIN names n_title ON n_title.id = e.title LEFT JOIN names n_branch ON n_branch.id = e.branch LEFT JOIN names n_cwd ON n_cwd.id = e.cwd LEFT JOIN names n_worktree ON n_worktree.id = e.worktree LEFT JOIN names n_kind ON n_kind.id = e.kind LEFT JOIN names n_user ON n_user.id = e.user LEFT JOIN names n_pr ON n_pr.id = e.pr LEFT JOIN names n_context_source ON n_context_source.id = e.context_source LEFT JOIN decisions d ON d.id = e.decision;
COMMIT;

package org.bighead.flink;

import java.io.IOException;
import java.io.Serializable;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import org.apache.flink.avro.shaded.org.apache.avro.Schema;
import org.apache.flink.avro.shaded.org.apache.avro.SchemaParseException;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Schemas by their id, from a registry with the Confluent API; one that does not answer is waited for. */
final class Registry implements Serializable {
    private static final Logger LOG = LoggerFactory.getLogger(Registry.class);
    private static final long RETRY_MS = 1000;
    private static final long UNKNOWN_MS = 30_000;
    private static final int MOST_UNKNOWN = 1000;
    private static final ObjectMapper JSON = new ObjectMapper();

    private final String url;
    private transient HttpClient client;
    private transient Map<Integer, Long> unknownUntilMs;

    Registry(String url) {
        this.url = url;
    }

    /** The schema with that id; Refusal where there is none, or none that can be read. */
    Schema schema(int id) throws Refusal, InterruptedException {
        if (unknownUntilMs == null) {
            unknownUntilMs = new HashMap<>();
        }
        long nowMs = System.currentTimeMillis();
        Long until = unknownUntilMs.get(id);
        JsonNode found = until != null && until > nowMs ? null : ask("schemas/ids/" + Integer.toUnsignedString(id));
        if (found == null) {
            if (unknownUntilMs.size() > MOST_UNKNOWN) {
                unknownUntilMs.clear(); // broken bytes begin in any way
            }
            unknownUntilMs.putIfAbsent(id, nowMs + UNKNOWN_MS);
            throw Refusal.undecodable(
                    "schema id " + Integer.toUnsignedString(id) + " is not in the registry at " + url
                            + "; the producer registered elsewhere, or the bytes are not what they seem");
        }
        String kind = found.path("schemaType").asText("AVRO");
        if (!kind.equals("AVRO")) {
            throw Refusal.undecodable("schema id " + id + " is of kind " + kind + "; only AVRO is read");
        }
        return parsed(id, found);
    }

    private Schema parsed(int id, JsonNode found) throws Refusal, InterruptedException {
        try {
            Schema.Parser parser = new Schema.Parser();
            refer(id, found, parser);
            Schema schema = parser.parse(found.get("schema").asText());
            if (schema.getType() != Schema.Type.RECORD) {
                throw Refusal.undecodable("schema id " + id + " is " + schema + "; expected a record");
            }
            return schema;
        } catch (SchemaParseException error) {
            throw Refusal.undecodable("schema id " + id + " is no Avro: " + error.getMessage());
        }
    }

    private void refer(int id, JsonNode found, Schema.Parser parser) throws Refusal, InterruptedException {
        for (JsonNode reference : found.path("references")) {
            String subject = URLEncoder.encode(reference.get("subject").asText(), StandardCharsets.UTF_8);
            JsonNode other = ask("subjects/" + subject + "/versions/" + reference.get("version").asInt());
            if (other == null) {
                throw Refusal.undecodable("schema id " + id + " refers to " + reference + ", which is missing");
            }
            refer(id, other, parser);
            parser.parse(other.get("schema").asText());
        }
    }

    /** The answer; null for 404. */
    private JsonNode ask(String path) throws InterruptedException {
        if (client == null) {
            client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        }
        HttpRequest request =
                HttpRequest.newBuilder(URI.create(url + "/" + path)).timeout(Duration.ofSeconds(10)).build();
        while (true) {
            try {
                HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
                if (answer.statusCode() == 404) {
                    return null;
                }
                if (answer.statusCode() == 200) {
                    return JSON.readTree(answer.body());
                }
                LOG.warn("the schema registry at {} answers {} with HTTP {}; asked again", url, path, answer.statusCode());
            } catch (IOException error) {
                LOG.warn("the schema registry at {} does not answer {}; asked again", url, path, error);
            }
            Thread.sleep(RETRY_MS);
        }
    }
}

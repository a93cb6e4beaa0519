// Prints what no message definition says: error codes and how clients treat them, and which
// requests brokers forward or only cluster members may send. Read by import.rs.

import org.apache.kafka.common.errors.InvalidMetadataException;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.Errors;

class Constants {
    public static void main(String[] args) {
        for (Errors error : Errors.values()) {
            String facts = "";
            if (error.exception() instanceof RetriableException) facts += " retriable";
            if (error.exception() instanceof InvalidMetadataException) facts += " stale-metadata";
            System.out.println("error " + error.code() + " " + error.name() + facts);
        }
        for (ApiKeys key : ApiKeys.values()) {
            System.out.println("api " + key.id + " " + key.forwardable + " " + key.clusterAction);
        }
    }
}
